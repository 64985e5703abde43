"""Unit tests of storage/."""
