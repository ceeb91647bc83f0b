"""Ctrl-C while the command is loaded: raised inside an import it may get lost, so that it ends the process instead."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

__all__: list[str] = []

if sys.orig_argv[1:3] == ["-m", "jacobians"] or Path(sys.argv[0]).name == "jacobians":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
