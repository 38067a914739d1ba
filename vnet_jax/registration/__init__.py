"""Training cases multiplied by non-rigid registration (paper, section 2.3)."""
