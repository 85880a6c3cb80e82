"""Splitting speech into content and emotion."""
