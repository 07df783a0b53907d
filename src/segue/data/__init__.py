"""Data sets, sampling, cropping and loading."""
