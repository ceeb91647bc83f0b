"""On what kind of machine something was measured, without a name or a place of it."""

import os
import platform
from pathlib import Path

import psutil


def kind():
    """Processor, cores, memory and system."""
    memory = psutil.virtual_memory().total / 2**30
    cores = os.cpu_count()
    return f"{processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def processor():
    """Its model, as the system calls it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for each in information.read_text("utf-8").splitlines():
            key, _, value = each.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
