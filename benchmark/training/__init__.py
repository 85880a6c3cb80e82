"""The one training loop, and the stages' identity and cache."""
