"""From landmarks to frames: edge sketch, generator, discriminators."""
