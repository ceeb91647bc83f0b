"""Hypothesis profiles; HYPOTHESIS_PROFILE=ci or =thorough searches longer. One thread for each library's small sums."""

import os

# Read when NumPy and PyTorch are loaded. On layers as small as these, threads only wait for each other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from jacobians.testing import register_profiles  # noqa: E402

register_profiles()
