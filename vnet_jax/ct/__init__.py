"""A volume and its place in the world: geometry, NIfTI, resampling, intensity."""
