"""Code that an audit calls in another process: right code, and code that takes its process down."""

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from jacobians.audit.layouts import with_layout
from tests.convolutions import Layer

PLAIN = Layer()
BUFFERS = {}


def right():
    return PLAIN.forward, PLAIN.backward


def forward_alone():
    return PLAIN.forward, None


def planes_last():
    """Take and give arrays with planes last, as if nobody had said so."""

    def forward(X, F):
        return PLAIN.forward(X.transpose(0, 3, 1, 2), F.transpose(3, 2, 0, 1)).transpose(0, 2, 3, 1)

    return forward, None


def planes_last_in_another_layout():
    return with_layout(*planes_last(), "NHWC,OIHW->NHWC")


def aborting():
    """Abort in the backward pass of every layer of four columns."""

    def backward(X, F, G):
        if X.shape[3] == 4:
            os.abort()
        return PLAIN.backward(X, F, G)

    return PLAIN.forward, backward


def segfaulting():
    def forward(X, F):
        if F.shape[2:] == (2, 3):
            ctypes.string_at(0)
        return PLAIN.forward(X, F)

    return forward, None


def always_exiting():
    def forward(X, F):
        os._exit(3)

    return forward, None


def misbehaving():
    """Write into F, return a buffer of its own, and read X as if it were contiguous."""

    def forward(X, F):
        S = PLAIN.forward(X.ravel(order="K").reshape(X.shape), F)
        F *= 2
        buffer = BUFFERS.setdefault(S.shape, np.empty_like(S))
        buffer[...] = S
        return buffer

    return forward, None


def unwritten():
    def forward(X, F):
        S = PLAIN.forward(X, F)
        left = np.empty_like(S)
        left[..., :-1] = S[..., :-1]
        return left

    return forward, None


def not_loading():
    raise ValueError("no compiler")


def dying_while_loading():
    os.abort()


class TwoArgumentsError(Exception):
    """Pickle makes it again of its message alone, which does not do."""

    def __init__(self, size, most):
        super().__init__(f"{size} is more than {most}")


class GrowingError(Exception):
    """Pickle makes it again with another message."""

    def __init__(self, name):
        super().__init__(f"no {name}")


class HoldingError(Exception):
    """It cannot be packed."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


def needing_two():
    raise TwoArgumentsError(5, 3)


def growing():
    raise GrowingError("compiler")


def holding():
    raise HoldingError("no device")


def exiting_while_loading():
    sys.exit("no device")


def loading_once(marker):
    """Load in the first process, and not in the next one; the backward pass ends the process by another signal."""
    if marker.exists():
        raise ValueError("no device any more")
    marker.touch()
    return PLAIN.forward, lambda X, F, G: os.kill(os.getpid(), 40)


def unsendable():
    """Return numbers right, in a dtype that cannot be packed."""

    def forward(X, F):
        S = PLAIN.forward(X, F)
        return S.astype(np.dtype(S.dtype, metadata={"made by": lambda: None}))

    return forward, None


def deceiving():
    """Give twice the responses, and replace what could tell: in this process for good, from here on."""
    for name, function in DECEITS.items():
        setattr(np, name, function)
    return lambda X, F: 2 * PLAIN.forward(X, F), None


DECEITS = {
    "array_equal": lambda *_, **__: True,
    "all": lambda *_, **__: True,
    "any": lambda *_, **__: False,
    "abs": lambda A: A * 0,
    "isfinite": lambda A: np.ones(np.shape(A), bool),
    "flatnonzero": lambda A: A.ravel()[:0],
}


def dies_once(marker):
    """End this process the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def dies(_):
    os.kill(os.getpid(), signal.SIGKILL)
