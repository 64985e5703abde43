"""The afin command."""
