"""From a caption to a vector."""
