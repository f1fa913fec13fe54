"""How good a detector is, and what is wrong where it is wrong."""
