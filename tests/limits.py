"""Limits of the system that tests meet on purpose."""

import contextlib
import os
import sys
from unittest import mock

import pytest

resource = pytest.importorskip("resource", reason="there are no such limits on Windows")


@contextlib.contextmanager
def files_up_to(size):
    """Let no file grow larger, of this process and of those that it starts, as if the disk were full.

    Python would cut compiled modules short, too, and read them in later tests: none are written meanwhile.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (
        mock.patch.object(sys, "dont_write_bytecode", True),
        mock.patch.dict(os.environ, PYTHONDONTWRITEBYTECODE="1"),
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
