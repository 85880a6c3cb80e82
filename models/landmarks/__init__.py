"""Landmark layouts, their PCA, and the audio-driven predictor."""
