"""Input and output of FITS images, and files that are written completely or not at all."""
