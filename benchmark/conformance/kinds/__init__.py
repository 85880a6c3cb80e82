"""Probes and rungs of each kind of metric."""
