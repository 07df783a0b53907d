"""Experiments: settings, building, the training loop, checkpoints and logs."""
