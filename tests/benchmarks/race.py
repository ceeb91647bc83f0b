"""Times of several calls, taken in turns, so that a busy machine slows all of them."""

import gc
import math
import time
import tracemalloc

# Seconds that the fastest call is repeated for, so that the clock's steps do not matter. The others are repeated as
# often, since all then find memory and caches as a repeated call leaves them; but not for longer than they need.
LEAST, ENOUGH = 0.005, 0.1


def race(calls, seconds, rounds=7):
    """The shortest time of each call, by its name, over so many rounds; over fewer where they take longer in all.

    There is at least one round after the first calls, which may load modules.
    """
    start = time.perf_counter()
    times = {name: [timed(call)] for name, call in calls.items()}
    most = math.ceil(LEAST / min(min(times.values())))
    repeats = {name: max(1, min(most, int(ENOUGH / taken))) for name, (taken,) in times.items()}
    for number in range(rounds):
        if number and time.perf_counter() - start > seconds:
            break
        for name, call in calls.items():
            times[name].append(timed(call, repeats[name]))
    return {name: min(each) for name, each in times.items()}


def timed(call, repeats=1):
    """Seconds of one of several calls. The memory of the last result goes back to the system after that."""
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repeats):
            result = call()
        taken = time.perf_counter() - start
        del result
    finally:
        gc.enable()
    return taken / repeats


def peak_bytes(call):
    """The most bytes that a call held."""
    gc.collect()
    tracemalloc.start()
    try:
        result = call()
        peak = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    return peak
