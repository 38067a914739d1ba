"""State, step and the training loop."""
