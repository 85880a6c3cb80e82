"""Audio features and their alignment."""
