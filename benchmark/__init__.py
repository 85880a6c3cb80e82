"""The harness: it runs any method and knows none by name."""
