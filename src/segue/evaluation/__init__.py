"""Trained models: how they predict, and how predictions are scored, stored as labels and fused."""
