"""The differences of the exposures in one fit: kernels, surfaces, lines."""
