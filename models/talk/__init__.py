"""A talking video from a trained run: `python -m models.talk`."""
