"""Files that are read and written: FITS images, and files that are complete or not there."""
