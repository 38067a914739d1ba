"""The networks, pure: convolution, V-Net, cascade, losses."""
