"""Unit tests of pipelines/."""
