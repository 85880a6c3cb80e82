"""Every protocol there is, family by family; `benchmark.metrics.registry` puts them together."""
