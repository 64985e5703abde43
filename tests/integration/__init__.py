"""Rooms together, over real servers."""
