"""What media files say of their own length, and whether their parts fit together, one module per format."""
