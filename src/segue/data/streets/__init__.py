"""The built-in street scenes: procedural pictures with labels, in two domains."""
