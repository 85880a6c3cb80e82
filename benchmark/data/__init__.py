"""Corpora: generated and recorded, behind one interface."""
