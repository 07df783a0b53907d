"""Models in the formats of others, compared with the original, and described."""
