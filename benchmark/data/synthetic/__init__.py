"""The embedded corpus: generated speech and faces with every factor known."""
