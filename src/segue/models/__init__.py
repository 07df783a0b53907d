"""Networks in plain PyTorch: encoders, heads, and what joins them."""
