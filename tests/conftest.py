"""Hypothesis profiles; HYPOTHESIS_PROFILE=thorough searches longer.

Both draw the same examples in every run, keep no database and look at no clock: the outcome depends on the code alone.
"""

import os

from hypothesis import HealthCheck, settings

DETERMINISTIC = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("fast", DETERMINISTIC, max_examples=30)
settings.register_profile("thorough", DETERMINISTIC, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
