"""The image and the compose file that people run afin with."""
