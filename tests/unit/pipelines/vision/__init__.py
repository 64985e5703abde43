"""Unit tests of pipelines.vision."""
