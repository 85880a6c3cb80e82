"""Scores: protocols that carry their meaning."""
