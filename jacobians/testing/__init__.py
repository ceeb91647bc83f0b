"""Assertions, Hypothesis strategies, and options for parametrised tests, for use in your own test suite.

`geometries`, `images`, `filters`, `upstream_gradients`, `biases`, `layers` and `register_profiles` need hypothesis
(``pip install 'jacobians[testing]'``), which is imported when one of them is first used.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jacobians.arguments import flag, integer
from jacobians.audit import AuditReport, audit
from jacobians.geometry import MOST_AXES
from jacobians.testing.compare import (
    assert_bias_gradient,
    assert_filter_gradient,
    assert_forward,
    assert_input_gradient,
)

if TYPE_CHECKING:
    from jacobians.testing.profiles import register_profiles
    from jacobians.testing.strategies import biases, filters, geometries, images, layers, upstream_gradients

__all__ = [
    "assert_bias_gradient",
    "assert_convolution",
    "assert_filter_gradient",
    "assert_forward",
    "assert_input_gradient",
    "biases",
    "filters",
    "geometries",
    "images",
    "layers",
    "option_pairs",
    "register_profiles",
    "upstream_gradients",
]

# Loaded when they are first asked for: they need hypothesis.
_LATER = {"register_profiles": "profiles"} | dict.fromkeys(
    ("biases", "filters", "geometries", "images", "layers", "upstream_gradients"), "strategies"
)


def __getattr__(name: str) -> Any:
    """Load a strategy when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def assert_convolution(
    forward: Callable[..., Any] | None, backward: Callable[..., Any] | None = None, **options: Any
) -> AuditReport:
    """Assert that a convolution and its gradients are right.

    Parameters
    ----------
    forward, backward : callable or None
        The functions under test, as `jacobians.audit` takes them.
    **options
        Arguments of `jacobians.audit`: stride, padding, dilation, groups, spatial_ndim, bias, dtype, seed, …

    Returns
    -------
    AuditReport
        The report, if the code is right.

    Raises
    ------
    AuditError
        With the text of the report, if the code is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from jacobians import convolve
    >>> assert_convolution(lambda X, F: np.stack([convolve(x, F) for x in X])).ok
    True
    """
    __tracebackhide__ = True
    return audit(forward, backward, **options).check()


def option_pairs(spatial_ndim: int = 2, *, groups: bool = True, uneven_padding: bool = True) -> list[dict[str, Any]]:
    """Return combinations of stride, padding, dilation and groups; every two values of two options occur together.

    Parameters
    ----------
    spatial_ndim : int
        Number of spatial axes.
    groups : bool
        Whether the code under test has groups.
    uneven_padding : bool
        Whether the code under test takes (before, after) pairs of padding.

    Returns
    -------
    list of dict
        Each is a set of keyword arguments of `assert_convolution` and `Geometry`, for ``pytest.mark.parametrize``.

    Examples
    --------
    >>> option_pairs(1)[0]
    {'stride': (1,), 'padding': ((0, 0),), 'dilation': (1,), 'groups': 1}
    """
    ramp = range(integer("spatial_ndim", spatial_ndim, least=1, most=MOST_AXES))
    groups, uneven_padding = flag("groups", groups), flag("uneven_padding", uneven_padding)
    strides = [(1,) * spatial_ndim, (2,) * spatial_ndim, tuple(3 - axis % 2 for axis in ramp)]
    dilations = [(1,) * spatial_ndim, (2,) * spatial_ndim, tuple(1 + axis % 2 for axis in ramp)]
    paddings = [((0, 0),) * spatial_ndim, ((1, 1),) * spatial_ndim, tuple((2 + axis % 2,) * 2 for axis in ramp)]
    if uneven_padding:
        paddings[2] = tuple((axis % 2, 2 - axis % 2) for axis in ramp)
    counts = [1, 2] if groups else [1]
    # A Latin square: every pair of two of the three options occurs once, and each of them with every number of groups.
    return [
        {"stride": strides[a], "padding": paddings[b], "dilation": dilations[(a + b) % 3], "groups": count}
        for a, b in itertools.product(range(3), repeat=2)
        for count in counts
    ]
