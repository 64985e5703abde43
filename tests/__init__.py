"""Tests: unit (a folder a room), integration (real broker and workers), acceptance (real data)."""
