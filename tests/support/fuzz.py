"""Number of examples of the fuzzing tests."""

import os

from hypothesis import HealthCheck, settings

#: 200 examples, always the same ones; CRSTACK_FUZZ_EXAMPLES=2000 tries more
fuzzed = settings(
    max_examples=int(os.environ.get("CRSTACK_FUZZ_EXAMPLES", "200")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
