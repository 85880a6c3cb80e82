"""What a metric function may compute: definitions in plain NumPy, and the one that fits given values."""
