"""Adaptation methods: a batch in, views to train on out."""
