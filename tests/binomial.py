"""Whether a rate that was observed allows a rate that is claimed."""

from scipy.stats import binom

# The chance with which a claim that is right would be refuted, if the draws were not the same in each run.
LEVEL = 2.0**-30


def refutes_at_most(missed: int, count: int, claim: float) -> bool:
    """Whether so many misses are too many for draws that miss with this probability at most."""
    return binom.sf(missed - 1, count, claim) < LEVEL


def refutes(missed: int, count: int, claim: float) -> bool:
    """Whether so many misses are too many, or too few, for draws that miss with just this probability."""
    return refutes_at_most(missed, count, claim) or binom.cdf(missed, count, claim) < LEVEL
