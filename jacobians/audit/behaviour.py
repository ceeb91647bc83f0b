"""What a call does besides computing values: memory, state, layout, not-a-numbers, large batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.describe import counted, kind, rounding_bounds, slack
from jacobians.audit.memory import CACHED, KEPT, LAYOUTS, OVERWRITTEN, RANDOM, SAVED, WRITTEN, of_layout
from jacobians.audit.probes import Case, Probe, draw, dtype_of, expected, integers, large_batch, places, reals
from jacobians.audit.reproduce import plain
from jacobians.audit.shrink import small_cases
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.geometry import Geometry
from jacobians.verify import exact

__all__ = ["changes", "findings", "many_images", "observed"]

Array = npt.NDArray[Any]

# One more than powers of two, where grids and offsets wrap; the last is more than 16 bits count.
COUNTS = tuple(2**k + 1 for k in range(17))
LARGE_BATCH = COUNTS[-1]
# Numbers of one image up to which so many of them are tried.
MOST_PER_IMAGE = 100
# Small layers to try for the smallest case.
MOST_CASES = 40
FINE = {"nothing", "inexact"}
SWALLOWED = (
    "Something replaces or skips it: np.nan_to_num, a maximum, a comparison or a test for zero.",
    "Multiply and add every number as it is.",
)
MULTIPLIED = (
    "Zeros of a dense matrix or of a transform are multiplied by it.",
    "Leave out products that the formula does not have.",
)
ADDED = (
    "Something is added to the sums, such as a tolerance; next to large numbers it is rounded away.",
    "Add the products and the bias, and nothing else.",
)
ROUNDED = (
    "The numbers are converted to integers on the way, or the result is.",
    "Keep the dtype of the arrays in all buffers.",
)
DIGITS = (
    "Small digits are rounded off or added to: by np.round, a conversion to integers, or a constant.",
    "Keep the dtype of the arrays in all buffers, and add nothing.",
)
# Responses that the largest tile of Winograd's algorithm in use, F(6, 3), computes at once on an axis.
TILE = 6
# Responses on an axis that are enough to tell a spread over all of them.
WIDE = 4 * TILE
UNREAL = (
    "Small numbers or last digits are rounded off, replaced or added to.",
    "Multiply and add every number as it is, and keep the dtype of the arrays in all buffers.",
)
# Layers to try small numbers at, and what integers are multiplied by there: no product is subnormal in half precision.
FEW = 6
FRACTION = 2.0**-4


def findings(
    subject: Subject, cases: Sequence[Case], seed: int, broken: Collection[str], inexact: Collection[str]
) -> list[Finding]:
    """Observe calls on a layer with several images, planes and filters.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    cases : sequence of Case
        The layers of the audit.
    seed : int
        Of the audit.
    broken : collection of str
        Results that are wrong already, of which nothing more is said.
    inexact : collection of str
        Results of algorithms that mix all entries, such as the FFT: a NaN spreads in them.

    Returns
    -------
    list of Finding
        One per thing that is wrong.
    """
    case = observed(cases)
    probe = draw(case, subject.options, seed)
    small = list(_small_numbers(subject, cases, seed, broken))
    off = {*broken, *(name for name, label in LABELS.items() for each in small if each.about == label)}
    small += _real_numbers(subject, cases, seed, off)
    skipped = {*broken, *inexact, *(name for name, label in LABELS.items() for each in small if each.about == label)}
    checks: tuple[Callable[[Probe], Iterator[Finding]], ...] = (
        lambda each: _repeated(subject, cases, each, seed, broken),
        lambda each: _layouts(subject, each, broken),
        lambda each: _not_a_number(subject, each, skipped),
    )
    found = {_key(each): each for check in checks for each in _smallest(check, probe, subject, seed)}
    # Beyond a tile, a NaN can only spread where there are more responses than one holds.
    wide = min(cases, key=lambda each: (-min(max(each.geometry.responses[1:]), WIDE), each.numbers))
    if wide != case:
        found = {
            _key(each): each for each in _smallest(checks[-1], draw(wide, subject.options, seed), subject, seed)
        } | found
    return [*small, *found.values()]


def observed(cases: Sequence[Case]) -> Case:
    """Choose the layer at which calls are observed: several images and responses, and not the largest one."""
    return max(
        cases[: len(cases) * 2 // 3 + 1],
        key=lambda each: (min(each.images, 2), min(each.geometry.responses[1:]) > 1, each.numbers),
    )


def changes(subject: Subject) -> Iterator[Finding]:
    """Say what calls have written into the arrays that they were given.

    Parameters
    ----------
    subject : Subject
        The code under audit, after all other calls.

    Yields
    ------
    Finding
        One per function, on the first call that did.
    """
    for function, (letters, probe) in subject.writes.items():
        title = f"changes {' and '.join(letters)} in place"
        yield _observed(function, title, "in place", probe, *WRITTEN)


def _smallest(
    check: Callable[[Probe], Iterator[Finding]], probe: Probe, subject: Subject, seed: int
) -> Iterable[Finding]:
    """Make the findings of a check, each on the first of the small layers that shows it too."""
    found = {_key(finding): finding for finding in check(probe)}
    left = set(found)
    for case in small_cases(subject.options)[:MOST_CASES] if left else ():
        if not left or case.numbers >= probe.case.numbers:
            break
        for finding in check(draw(case, subject.options, seed)):
            if _key(finding) in left:
                left.remove(_key(finding))
                found[_key(finding)] = finding
    return found.values()


def _key(finding: Finding) -> tuple[str, str]:
    return finding.about, finding.title.partition(":")[0]


def _repeated(
    subject: Subject, cases: Sequence[Case], probe: Probe, seed: int, broken: Collection[str]
) -> Iterator[Finding]:
    """Call again after calls on other numbers and on another layer, if there is one; look at the inputs as well."""
    results = subject.results(probe)
    confusing = _reordered(probe)
    right, between = expected(confusing), subject.results(confusing)
    alone = subject.backward_alone(probe) if subject.forward and subject.backward else {}
    kept = {
        name: result.value is None or _equal(result.value, np.asarray(result.returned))
        for name, result in results.items()
    }
    after = again = subject.results(probe)
    others = [case for case in (cases[-1], cases[0]) if case != probe.case]
    if others:
        subject.results(draw(others[0], subject.options, seed))
        after = subject.results(probe)
    for name, result in results.items():
        copy = result.value
        if name in broken or copy is None:
            continue
        for differs, (title, cause, cure) in (
            (not kept[name], OVERWRITTEN),
            (kind(between[name], right[name], confusing, name) not in FINE, CACHED),
            (name in alone and not _equal(copy, alone[name].value), SAVED),
            (not _equal(copy, again[name].value), RANDOM),
            (not _equal(copy, after[name].value), KEPT),
        ):
            if differs:
                yield _observed(name, title, "state", probe, cause, cure)
                break


def _reordered(probe: Probe) -> Probe:
    """Other numbers with the same first entry, the same sum and the same shape: a cache may take them for the same."""
    changed: dict[str, Any] = {}
    for letter in "XFG":
        A = getattr(probe, letter)
        reordered = np.ravel(A).copy()
        reordered[1:] = reordered[:0:-1].copy()
        changed[letter] = reordered.reshape(A.shape)
    return dataclasses.replace(probe, **changed)


def _small_numbers(subject: Subject, cases: Sequence[Case], seed: int, broken: Collection[str]) -> Iterator[Finding]:
    """Try zeros, and fractions: large integers hide what is small, and integers that they are rounded to integers.

    A fraction is an integer of at most 9 divided by a power of two, so that sums are as exact as those of integers.

    Yields
    ------
    Finding
        One per result that is wrong.
    """
    if dtype_of(subject.options.dtype).kind in "iu":
        return
    said = set(broken)
    for case in cases[:: max(len(cases) // FEW, 1)]:
        whole = integers(
            case,
            subject.options,
            min(9, exact.exact_magnitude(subject.options.dtype, case.terms)),
            np.random.default_rng(seed),
        )
        fractions = _scaled(whole, FRACTION)
        right = expected(fractions)
        for probe, zeros in ((_scaled(whole, 0.0), True), (fractions, False)):
            for name, result in subject.results(probe).items():
                wanted = 0 * right[name] if zeros else right[name]
                if name not in said and kind(result, wanted, probe, name) not in FINE:
                    said.add(name)
                    yield _off(name, probe, result, wanted, zeros=zeros)


def _real_numbers(subject: Subject, cases: Sequence[Case], seed: int, broken: Collection[str]) -> Iterator[Finding]:
    """Try numbers with all digits and of very different sizes; results may be off by rounding errors.

    Yields
    ------
    Finding
        One per result that is off by more.
    """
    if dtype_of(subject.options.dtype).kind in "iu":
        return
    said = set(broken)
    for case in cases[:: max(len(cases) // FEW, 1)]:
        probe = reals(case, subject.options, np.random.default_rng(seed))
        right, bounds, results = expected(probe), rounding_bounds(probe), subject.results(probe)
        for name, result in results.items():
            if name in said:
                continue
            bound = np.maximum(bounds[name], slack(probe, name))
            value = result.value
            if value is None or value.shape != right[name].shape:
                said.add(name)
                yield _off(name, probe, result, right[name], zeros=False)
                continue
            error = np.abs(np.asarray(value, np.float64) - right[name])
            if not np.all(error <= bound):
                said.add(name)
                at = np.unravel_index(np.argmax(np.where(error <= bound, 0, error)), error.shape)
                most = float(np.broadcast_to(bound, error.shape)[at])
                title = f"is wrong for real numbers: it is off by {error[at]:.3g} where rounding explains {most:.3g}"
                yield _observed(name, title, "values", probe, *UNREAL, "small")


def _scaled(probe: Probe, factor: float) -> Probe:
    """Multiply all numbers so that every product is multiplied by the same; the bias too."""
    dtype = probe.X.dtype
    changed = {letter: (getattr(probe, letter).astype(np.float64) * factor).astype(dtype) for letter in "XFG"}
    return dataclasses.replace(probe, b=(probe.b.astype(np.float64) * factor**2).astype(dtype), **changed)


def _off(name: str, probe: Probe, result: Result, right: Array, *, zeros: bool) -> Finding:
    if result.value is None or result.value.shape != right.shape:
        said = result.raised or f"it has shape {np.asarray(result.value).shape}, not {right.shape}"
        title = f"is wrong for {'zeros' if zeros else 'fractions'}: {said}"
        return _observed(
            name, title, "values", probe, "Their values decide.", "Compute with all numbers alike.", "small"
        )
    got = np.asarray(result.value, np.float64)
    off = np.abs(got - right).max()
    if zeros:
        return _observed(
            name, f"is not 0 where all numbers are 0, but up to {off:.3g}", "values", probe, *ADDED, "small"
        )
    if np.array_equal(got, np.rint(right)) or np.array_equal(got, np.trunc(right)):
        return _observed(name, "is rounded to integers", "values", probe, *ROUNDED, "small")
    title = f"is wrong for fractions, by up to {off:.3g} of {np.abs(right).max():.3g}; it is right for large integers"
    return _observed(name, title, "values", probe, *DIGITS, "small")


def _layouts(subject: Subject, probe: Probe, broken: Collection[str]) -> Iterator[Finding]:
    """Lay out all arguments otherwise at once; where that matters, one after the other, to find out which."""
    right = expected(probe)
    letters = ("X", "F", *(("b",) if subject.options.bias else ()), *(("G",) if subject.backward else ()))
    said: set[tuple[str, str]] = set()
    for layout in LAYOUTS:
        if not _wrong(subject, probe, right, dict.fromkeys(letters, layout.arrange), broken):
            continue
        for letter in letters:
            for name, raised in _wrong(subject, probe, right, {letter: layout.arrange}, broken).items():
                if (name, letter) not in said:
                    said.add((name, letter))
                    title, cause, cure = of_layout(letter, layout.name, raised)
                    yield _observed(name, title, "memory layout", probe, cause, cure)


def _wrong(
    subject: Subject,
    probe: Probe,
    right: Mapping[str, Array],
    arrange: Mapping[str, Callable[[Array], Array]],
    broken: Collection[str],
) -> dict[str, str]:
    """Return the results that are wrong for a layout of the arguments, and what was raised."""
    results = subject.results(probe, arrange)
    return {
        name: result.raised
        for name, result in results.items()
        if name not in broken and kind(result, right[name], probe, name) not in FINE
    }


def _not_a_number(subject: Subject, probe: Probe, skipped: Collection[str]) -> Iterator[Finding]:
    """Put one NaN into X, then into G: it has to reach what is made of that entry, and may reach no other window.

    Zeros of a padding, those between the taps of a dilated filter, and those that make one filter of the filters of all
    groups are multiplied by it in many a right algorithm.

    Yields
    ------
    Finding
        One per result and array.
    """
    if probe.X.dtype.kind in "iu":
        return
    ones = dataclasses.replace(probe, b=0 * probe.b, **{name: np.ones_like(getattr(probe, name)) for name in "XFG"})
    table, geometry = places(probe.geometry), probe.geometry
    pixels = np.bincount(table.ravel(), minlength=1 + geometry.pixels // geometry.groups)[1:]
    sums = {"X": np.tile(pixels, geometry.groups), "G": np.tile((table > 0).sum(axis=1), geometry.filters[0])}
    for letter, reached in (("X", ("S", "dF", "dX", "db")), ("G", ("dX", "dF", "db"))):
        counts = sums[letter]
        if (letter == "G" and not subject.backward) or not counts.any():
            continue
        # The entry that is in the fewest sums, so that there are others for it to spread to.
        at = int(np.flatnonzero(counts == counts[counts > 0].min())[-1])
        mark, spoiled = np.zeros_like(getattr(probe, letter)), getattr(probe, letter).copy()
        mark[-1].reshape(-1)[at], spoiled[-1].reshape(-1)[at] = 1, np.nan
        results = subject.results(dataclasses.replace(probe, **{letter: spoiled}))
        masks = _reach(dataclasses.replace(ones, **{letter: mark}), letter)
        for name in reached:
            result = results.get(name)
            if name in skipped or result is None or result.value is None:
                continue
            wanted, allowed = masks[name]
            got = np.isnan(result.value.astype(np.float64))
            if subject.options.dtype == "bfloat16" and name != "db":
                # Processors multiply such numbers in pairs: the last of an odd number of taps has a zero beside it.
                allowed = allowed.copy()
                allowed[slice(None) if name == "dF" else -1] = True
            if np.any(wanted & ~got) or np.any(got & ~allowed):
                yield _spread(name, letter, got, wanted, allowed, probe)


def _reach(probe: Probe, letter: str) -> dict[str, tuple[Array, Array]]:
    """Say where the one entry of X or G that is not 0 has to go in each result, among ones, and where it may go."""
    geometry = probe.geometry
    # Each window whole: the gaps between the taps and other groups included.
    solid = Geometry(
        geometry.image,
        (geometry.filters[0], geometry.image[0], *geometry.extent),
        stride=geometry.stride,
        padding=geometry.padding,
    )
    wanted = allowed = {name: sums != 0 for name, sums in expected(probe).items()}
    if solid != geometry:
        windows = dataclasses.replace(probe, case=Case(solid, probe.case.images), F=np.ones(solid.filters))
        allowed = {name: sums != 0 for name, sums in expected(windows).items()}
    for name in ("dX", "db") if letter == "X" else ():
        wanted[name], allowed[name] = np.zeros_like(wanted[name]), np.zeros_like(wanted[name])
    allowed = {name: _tiles(mask) if name in {"S", "dX"} else mask for name, mask in allowed.items()}
    per_filter = wanted["dF"].any(axis=tuple(range(1 if letter == "G" else 2, wanted["dF"].ndim)), keepdims=True)
    widened = np.ones_like(wanted["dF"]) if geometry.groups > 1 else wanted["dF"] | per_filter
    masks = {name: (wanted[name], allowed[name]) for name in ("S", "dX", "db")}
    return {**masks, "dF": (wanted["dF"], widened)}


def _tiles(mask: Array) -> Array:
    """Let it reach the responses or pixels of the same tile, in the same image and map."""
    import scipy.ndimage

    size = (1, 1, *(2 * TILE - 1,) * (mask.ndim - 2))
    return np.asarray(scipy.ndimage.maximum_filter(mask, size=size, mode="constant"))


def _spread(name: str, letter: str, got: Array, wanted: Array, allowed: Array, probe: Probe) -> Finding:
    missing, beyond = int((wanted & ~got).sum()), int((got & ~allowed).sum())
    said = f"misses {counted(missing)}" if missing else f"reaches {counted(beyond)} where no window holds it"
    title = f"is wrong for a NaN in {letter}: it {said}"
    return _observed(name, title, "not a number", probe, *(SWALLOWED if missing else MULTIPLIED), "nan")


def _observed(
    name: str, title: str, kind_of: str, probe: Probe, cause: str, cure: str, anchor: str = "memory"
) -> Finding:
    arrays = {letter: plain(getattr(probe, letter)) for letter in "XFbG"}
    about = LABELS.get(name, name)
    return Finding(about, title, kind_of, str(probe.case), cause=cause, cure=cure, anchor=anchor, arrays=arrays)


def many_images(subject: Subject, seed: int, inexact: Collection[str]) -> Iterator[Finding]:
    """Try more images than 16 bits count, with 1×1 everything.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    seed : int
        Of the audit.
    inexact : collection of str
        Results of fast algorithms: the bound on the rounding errors of so long sums tells nothing.

    Yields
    ------
    Finding
        One per result that is wrong, at the smallest of the counts 2^k + 1 that shows it.
    """
    case = large_batch(subject.options, LARGE_BATCH)
    if case is None or case.geometry.pixels + case.geometry.positions > MOST_PER_IMAGE:
        return
    for name, result in _wrong_at(subject, case, seed).items():
        if name in inexact and result.value is not None:
            continue
        smaller = (each for count in COUNTS if (each := large_batch(subject.options, count)))
        smallest = next((each for each in smaller if name in _wrong_at(subject, each, seed)), case)
        raised = f": {result.raised}" if result.raised else ""
        title = f"is wrong for {smallest.images} images{raised}"
        probe = _large_probe(subject, smallest, seed)
        yield _observed(name, title, "large batch", probe, *_why_large(smallest.images))


def _wrong_at(subject: Subject, case: Case, seed: int) -> dict[str, Result]:
    probe = _large_probe(subject, case, seed)
    right, results = expected(probe), subject.results(probe)
    return {name: result for name, result in results.items() if kind(result, right[name], probe, name) not in FINE}


def _large_probe(subject: Subject, case: Case, seed: int) -> Probe:
    magnitude = exact.exact_magnitude(subject.options.dtype, case.terms)
    probe = integers(case, subject.options, max(magnitude, 1), np.random.default_rng(seed))
    if magnitude < 1:
        # Sums over so many images are not exact in this dtype: let the first and the last entry of G count.
        G = np.zeros_like(probe.G)
        G.reshape(-1)[[0, -1]] = 1
        probe = dataclasses.replace(probe, G=G)
    return probe


def _why_large(count: int) -> tuple[str, str]:
    """Cause and cure by where it starts."""
    bits = next((bits for bits in (8, 16) if count in {2**bits + 1, 2 ** (bits - 1) + 1}), None)
    if bits:
        return f"A size or an offset is kept in {bits} bits.", "Count in 64 bits."
    return (
        "Images are taken in blocks, and those behind the first block, or in the last, are wrong.",
        "Let the last block hold what is left, and give every block its own offset.",
    )


def _equal(left: Array, right: Array | None) -> bool:
    if right is None:
        return False
    return np.array_equal(left.astype(np.float64), right.astype(np.float64), equal_nan=True)
