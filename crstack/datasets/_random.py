"""Random numbers of simulated exposures."""

import numpy as np

__all__ = ["HIT_STREAM", "NOISE_STREAM", "RESPONSE_STREAM", "SCENE_STREAM", "generator"]

# one stream of random numbers for each purpose: a change in one leaves the others alone
SCENE_STREAM, HIT_STREAM, RESPONSE_STREAM, NOISE_STREAM = range(4)


def generator(seed, *stream):
    """Random numbers of one stream, such as ``HIT_STREAM`` and the number of the exposure."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
