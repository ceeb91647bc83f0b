"""Hypothesis profiles; HYPOTHESIS_PROFILE=ci or =thorough searches longer."""

from jacobians.testing import register_profiles

register_profiles()
