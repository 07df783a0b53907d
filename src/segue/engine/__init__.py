"""Experiments: configuration, building, the training loop, checkpoints, logs."""
