"""CT in, mask out: tiles, region of interest, ensemble, post-processing."""
