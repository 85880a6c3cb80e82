"""Scoring a folder of videos that somebody made against a folder of true ones."""
