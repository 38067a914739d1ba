"""What compares vnet_jax with PyTorch; no part of the installed package."""
