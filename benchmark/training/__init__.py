"""The identity of stages, and their cache."""
