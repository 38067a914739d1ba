"""What a run leaves on disk and on devices: folder, checkpoints, log, sharding."""
