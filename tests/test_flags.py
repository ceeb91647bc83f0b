"""The flag that a report proposes, and where it proposes none."""

import re

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jacobians import audit
from jacobians.audit.cases import Only
from tests import strangers


def responses(X, F, taps=None):
    return np.einsum("nkhwab,ikab->nihw", sliding_window_view(X, taps or F.shape[2:], axis=(2, 3)), F)


def odd(X, F):
    assert all(size % 2 for size in F.shape[2:])
    return responses(X, F)


def one_plane(X, F):
    return responses(X[:, :1], F.reshape(len(F), 1, *F.shape[2:]))


def three(X, F):
    return responses(X, F, (3, 3))


def odd_or_three_planes(X, F):
    """No single flag leaves out all that fails."""
    assert F.shape[1] != 2
    return odd(X, F)


def square(X, F):
    """What --odd --square would leave is left by --square alone."""
    assert F.shape[2] == F.shape[3]
    return responses(X, F)


def turned(X, F):
    """Right for filters of one tap."""
    return responses(X, F[:, :, ::-1, ::-1])


def flag(report):
    return [found[1] for note in report.notes if (found := re.search(r"audit it with (--[\w -]+\w) \(", note))]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (odd, ["--odd"]),
        (one_plane, ["--one-plane"]),
        (three, ["--taps 3x3"]),
        (square, ["--square"]),
        (odd_or_three_planes, []),
        (turned, []),
        (responses, []),
    ],
)
def test_the_flag_that_leaves_out_what_fails_is_named_if_there_is_one(code, wanted):
    assert flag(audit(code)) == wanted


@pytest.mark.usefixtures("unread")
def test_code_of_a_course_needs_the_flag_that_is_proposed_and_no_other():
    code, options = (strangers.conv_forward, strangers.conv_backward), {"stride": 2}
    report = audit(*code, **options)
    assert not report.ok
    assert flag(report) == ["--square"]
    assert audit(*code, **options, where=Only(square_filters=True, square_images=True)).ok
