"""Heads: encoder features in, class logits and the embedding before them out."""
