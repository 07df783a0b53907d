"""Models that predict, what they say of pictures, how it is scored, labelled with and fused."""
