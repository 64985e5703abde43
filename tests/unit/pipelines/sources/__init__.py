"""Tests of where photos, posts and accounts come from."""
