"""Linear face model, its fitting, and 3D-aware alignment."""
