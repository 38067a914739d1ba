"""Many runs to one end: folds, ablations, the whole paper as one command."""
