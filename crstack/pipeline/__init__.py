"""A run of one stack: from a parameter file to masks, images, figures and the page of the run."""
