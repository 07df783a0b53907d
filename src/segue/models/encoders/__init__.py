"""Encoders: an image in, features at strides 4, 8, 16 and 32 out."""
