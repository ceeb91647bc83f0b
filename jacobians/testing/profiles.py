"""Hypothesis profiles for tests of convolutions."""

from __future__ import annotations

import os

from jacobians.arguments import word

try:
    from hypothesis import HealthCheck, Phase, settings
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("the profiles need hypothesis: pip install 'jacobians[testing]'") from error

__all__ = ["register_profiles"]

VARIABLE = "HYPOTHESIS_PROFILE"
EXAMPLES = {"fast": 30, "ci": 200, "thorough": 1000}


def register_profiles(load: str = "fast") -> str:
    """Register the profiles fast, ci and thorough with Hypothesis, and load one. Call it in conftest.py.

    Parameters
    ----------
    load : str
        The profile to load if the environment variable HYPOTHESIS_PROFILE is not set.

    Returns
    -------
    str
        The name of the profile that was loaded.

    Raises
    ------
    ValueError
        If there is no such profile.

    Notes
    -----
    They draw 30, 200 and 1000 examples for each test. None has a deadline or a database, and all print how to reproduce
    a failure. fast and ci draw the same examples in every run, so that the outcome depends on the code alone. thorough
    draws new examples in every run, for example in a nightly run.
    """
    variable = os.environ.get(VARIABLE)
    wanted = word(VARIABLE if variable else "load", variable or load, EXAMPLES)
    for name, count in EXAMPLES.items():
        settings.register_profile(
            name,
            max_examples=count,
            derandomize=name != "thorough",
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
            # Not the phase that tries which drawn values do not matter: hundreds of calls, and each entry matters here.
            phases=[phase for phase in Phase if phase is not Phase.explain],
        )
    settings.load_profile(wanted)
    return wanted
