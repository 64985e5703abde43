"""Speed as ratios of one run."""
