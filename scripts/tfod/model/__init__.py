"""A model's checkpoints and weights, and what it was trained on."""
