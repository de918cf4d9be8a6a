"""Reading of exposures: lists of files, headers, keywords, units, and one exposure for the cube."""
