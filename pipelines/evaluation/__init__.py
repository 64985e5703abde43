"""How good a bundle is, in numbers."""
