"""Drawn photos and composed captions to try everything with: they show the flow, not accuracy."""
