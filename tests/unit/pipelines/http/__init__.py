"""Tests of the guarded fetch core."""
