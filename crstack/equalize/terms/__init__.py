"""Each difference of the exposures by itself: flux factors, offsets, response, overdispersion."""
