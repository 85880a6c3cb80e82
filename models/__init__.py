"""The method, from waveform to frames: networks, losses, geometry. Read `models.evp` first."""
