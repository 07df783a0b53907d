"""Encoders: an image in, four maps out, fine to coarse."""
