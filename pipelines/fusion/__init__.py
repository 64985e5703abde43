"""From the vectors of a post to its probabilities."""
