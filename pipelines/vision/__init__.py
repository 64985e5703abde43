"""From a photo's bytes to a vector."""
