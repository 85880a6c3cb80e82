"""Compared methods, one file each, built from the parts in `models`."""
