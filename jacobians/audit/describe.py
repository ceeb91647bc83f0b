"""Telling in what a result differs, and saying it in the fewest words, on the smallest case."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import sympy

from jacobians import symbolic
from jacobians.audit import Finding
from jacobians.audit.facts import facts
from jacobians.audit.probes import Case, Probe, expected, integers, scheme_of, sizes_ascending
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.audit.theories import Theory, explain, numbers, reproduces
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry
from jacobians.verify import exact

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["finding", "kind", "names", "near_miss", "slack", "state"]

Array = npt.NDArray[Any]

# Lower precisions that code is known to sum in, by the bits of their significand.
LOWER = (("float32", 24), ("TF32 or float16", 11), ("bfloat16", 8))
# Sizes to try for the smallest case, entries to print of it, and calls to read one entry out.
MOST_CASES = 200
MOST_ENTRIES = 4
MOST_READINGS = 64
# Inexact results are accepted where the bound tells right from wrong on a single draw, and more with every further one.
MOST_NEAR_MISSES = Fraction(3, 4)
FACTORS = {"S": ("X", "F"), "dX": ("G", "F"), "dF": ("G", "X"), "db": ("G",)}
NAMED = {"X": ("X", "image"), "F": ("F", "filters"), "G": ("g", "responses")}
ROLES = {"S": ("S", "responses"), "dX": ("v", "image"), "dF": ("v", "filters"), "db": ("v", "bias")}


# in what a result differs ---------------------------------------------------------------------------------------------


def kind(result: Result, right: Array, probe: Probe, name: str) -> str:
    """Say in what a result differs.

    Parameters
    ----------
    result : Result
        What the code gave.
    right : ndarray
        What is right.
    probe : Probe
        For which numbers.
    name : str
        S, dX, dF or db.

    Returns
    -------
    str
        nothing; inexact, where the errors are within the rounding bound of any algorithm; else the kind of a finding.
    """
    value = result.value
    if value is None:
        return "exception"
    for what, differs in (("shape", value.shape != right.shape), ("dtype", value.dtype != probe.X.dtype)):
        if differs:
            return what
    got = value if value.dtype.kind in "iu" else value.astype(np.float64)
    if np.array_equal(got, right):
        return "nothing"
    return "values" if value.dtype.kind in "iu" else _kind_of_error(got, right, probe, name)


def _kind_of_error(got: Array, right: Array, probe: Probe, name: str) -> str:
    if not np.all(np.isfinite(got)):
        return "not written"
    worst, scale = float(np.abs(got - right).max()), _norms(probe, name)
    promised = exact.SIGNIFICAND[str(probe.X.dtype)]
    if worst <= slack(probe, name):
        return "inexact"
    lower = [bits for _, bits in LOWER if bits < promised]
    rounded = any(worst <= _bound(bits, probe) * scale for bits in lower) and _is_rounded(got, right)
    return "precision" if rounded else "values"


def _bound(bits: int, probe: Probe) -> float:
    # Fast algorithms transform whole planes: each result is made of no more operations in sequence than there are
    # numbers in the padded image and the filter, and each loses at most u = 2^−bits of the product of the factors'
    # norms (Higham, Accuracy and Stability, ch. 24, has a logarithm in the place of this count).
    geometry = probe.geometry
    count = math.prod(geometry.padded) * geometry.planes_per_group + geometry.taps + probe.case.terms
    share = count * 2.0**-bits
    return share / (1 - share) if share < 1 else math.inf


def slack(probe: Probe, name: str) -> float:
    """Return the error up to which an inexact result is accepted: the rounding bound of fast algorithms.

    Parameters
    ----------
    probe : Probe
        The draw.
    name : str
        S, dX, dF or db.

    Returns
    -------
    float
        The bound of the promised precision where that tells right from wrong. In half precision it does not, being as
        large as the numbers; what is accepted there are the errors of code that sums in float32. 0 where neither does.
    """
    if probe.X.dtype.kind in "iu":
        return 0.0
    promised = exact.SIGNIFICAND[str(probe.X.dtype)]
    # By the largest norms that draws can have, so that what is inexact on one draw is not called wrong on the next.
    for bound in (_bound(bits, probe) for bits in (promised, exact.SIGNIFICAND["float32"])):
        if _near_miss(probe, name, bound * _largest_norms(probe, name)) <= MOST_NEAR_MISSES:
            return bound * _norms(probe, name)
    return 0.0


def near_miss(probe: Probe) -> Fraction:
    """Bound the probability that a wrong bilinear form is accepted as inexact on a draw like this one."""
    return max(_near_miss(probe, name, slack(probe, name)) for name in FACTORS)


def _near_miss(probe: Probe, name: str, bound: float) -> Fraction:
    scheme = scheme_of(probe.case, str(probe.X.dtype))
    if scheme is None or not math.isfinite(bound):
        return Fraction(1)
    return exact.miss_probability(*(getattr(scheme, letter) for letter in FACTORS[name]), slack=bound)


def _largest_norms(probe: Probe, name: str) -> float:
    scheme = scheme_of(probe.case, str(probe.X.dtype))
    if scheme is None:
        return math.inf
    drawn = (getattr(scheme, letter) for letter in FACTORS[name])
    largest: list[float] = [math.sqrt(each.entries) * each.magnitude for each in drawn]
    return math.prod(largest) + scheme.X.magnitude * scheme.F.magnitude


def _norms(probe: Probe, name: str) -> float:
    arrays = {"X": probe.X, "F": probe.F, "G": probe.G}
    lengths = [float(np.sqrt(np.sum(arrays[letter].astype(np.float64) ** 2))) for letter in FACTORS[name]]
    return math.prod(lengths) + float(np.abs(probe.b.astype(np.float64)).max())


def _is_rounded(got: Array, right: Array) -> bool:
    """Whether every entry is the right one but for its last digits, as no wrong formula is."""
    return bool(
        np.all(np.abs(got - right) <= 2.0**-4 * np.abs(right).max()) and np.all(np.sign(got) * np.sign(right) >= 0)
    )


# what to say of it ----------------------------------------------------------------------------------------------------


def finding(subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Finding:
    """Make the finding of one result that is wrong at some layers.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    failed : sequence of Comparison
        Where it is wrong, smallest layer first.
    tried : sequence of Comparison
        All comparisons of this result.

    Returns
    -------
    Finding
        What is wrong in words, on the smallest case that shows it.
    """
    what = failed[0].kind
    alike = [each for each in failed if each.kind == what]
    counts: dict[str, Any] = {"wrong": len(failed), "tried": max(len(tried), len(failed))}
    if what in {"values", "precision"}:
        return {"values": _values, "precision": _precision}[what](subject, alike, counts)
    makers = {"exception": _exception, "shape": _shape, "dtype": _dtype, "not written": _not_written}
    return makers[what](subject, alike[0], counts)


def state(subject: Subject, each: Comparison) -> Finding:
    """Make the finding of a result that was right for the first numbers at a layer and is wrong for the next.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    each : Comparison
        The result that is wrong.

    Returns
    -------
    Finding
        Of the kind "state".
    """
    return Finding(
        LABELS[each.name],
        "depends on the calls before: it is right for the first numbers of a size, and wrong for the next",
        "state",
        cause="Something is kept between calls, such as a cache whose key is the shape alone, or a result is random.",
        cure="Keep nothing that depends on the numbers.",
        anchor="memory",
        **_record(subject, each),
    )


def _record(subject: Subject, each: Comparison) -> dict[str, Any]:
    """Return the fields of a finding that every kind has: the layer, its numbers and code that reproduces it."""
    probe, name = each.probe, each.name
    return {
        "case": str(probe.case),
        "arrays": arrays(probe, name, each.result.value, each.right),
        "code": code(subject, probe, name, each.right),
    }


def _exception(subject: Subject, first: Comparison, counts: dict[str, Any]) -> Finding:
    said = first.result.raised
    title = (
        f"cannot be had: {said}"
        if said.startswith(("returned", "the process ended"))
        else f"raises on a legal layer: {said}"
    )
    cure = "This layer is legal; make the code take it, or restrict the audit with geometries=."
    return Finding(LABELS[first.name], title, "exception", cure=cure, **_record(subject, first), **counts)


def _shape(subject: Subject, first: Comparison, counts: dict[str, Any]) -> Finding:
    got, needed = np.asarray(first.result.value).shape, first.right.shape
    why = _why_shape(first.name, got, needed, first.probe.case)
    title = f"has shape {got}, not {needed}" + (f": {why}" if why else "")
    return Finding(LABELS[first.name], title, "shape", anchor="shapes", **_record(subject, first), **counts)


def _why_shape(name: str, got: tuple[int, ...], needed: tuple[int, ...], case: Case) -> str:
    """Name the option that explains a wrong shape, if one does."""
    g, over = case.geometry, tuple(a - b for a, b in zip(got[2:], needed[2:], strict=False))
    alike = len(got) == len(needed) and got[:2] == needed[:2]
    reasons = {
        "it is empty, as A[p:-p] is for p = 0": math.prod(got) == 0,
        "the gradients come in another order": got in _shapes_of_others(name, case),
        "the images are not summed": name in {"dF", "db"} and got == (case.images, *needed),
        "the batch axis is missing": got == needed[1:] and case.images == 1,
        "its axes are in another order": sorted(got) == sorted(needed),
        "it is not reshaped": math.prod(got) == math.prod(needed),
        "the tail's rows and columns are not cut off": name == "dF" and alike and over == g.tail,
        "the padding is not cut off": name == "dX" and alike and got[2:] == g.padded,
        "the tail's rows and columns are missing": name == "dX" and alike and over == tuple(-rest for rest in g.tail),
    }
    why = next((reason for reason, holds in reasons.items() if holds), "")
    return why or (_mistaken_option(got, case) if name == "S" else "")


def _shapes_of_others(name: str, case: Case) -> list[tuple[int, ...]]:
    """Return the shapes of the other gradients, where they differ from this one's."""
    g = case.geometry
    shapes = {"dX": (case.images, *g.image), "dF": g.filters, "db": g.filters[:1]}
    return [shape for other, shape in shapes.items() if name in shapes and shape != shapes[name] and other != name]


def _mistaken_option(got: tuple[int, ...], case: Case) -> str:
    """Name the option that was taken for another, where responses of this shape come of it."""
    g = case.geometry
    changes: dict[str, dict[str, Any]] = {
        "the stride is ignored": {"stride": 1},
        "the padding is ignored": {"padding": 0},
        "the dilation is ignored": {"dilation": 1},
        "the stride of h and w is exchanged": {"stride": g.stride[::-1]},
        "the stride of the first axis is used for all": {"stride": g.stride[0]},
        "the padding of h and w is exchanged": {"padding": g.padding[::-1]},
        "stride and dilation are exchanged": {"stride": g.dilation, "dilation": g.stride},
    }
    for why, change in changes.items():
        options: dict[str, Any] = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation} | change
        try:
            changed = Geometry(g.image, g.filters, groups=g.groups, **options)
        except ShapeError:
            continue
        if got == (case.images, *changed.responses):
            return why
    return ""


def _dtype(subject: Subject, first: Comparison, counts: dict[str, Any]) -> Finding:
    got, needed = np.asarray(first.result.value).dtype, first.probe.X.dtype
    return Finding(
        LABELS[first.name],
        f"has dtype {got}, not {needed}",
        "dtype",
        cause="The arrays were converted on the way.",
        cure=f"Return {needed} for {needed}, or audit with dtype={str(got)!r}.",
        **_record(subject, first),
        **counts,
    )


def _not_written(subject: Subject, first: Comparison, counts: dict[str, Any]) -> Finding:
    got = np.ravel(np.asarray(first.result.value, np.float64))
    bad = np.flatnonzero(~np.isfinite(got))
    named, right = names(*ROLES[first.name], first.probe.case), np.ravel(first.right)
    what = "NaN" if np.isnan(got[bad]).any() else "infinite"
    return Finding(
        LABELS[first.name],
        f"is {what} in {len(bad)} entries, of finite numbers: memory that was never written, or a sum that overflows",
        "not written",
        entries=tuple(f"{named[at]}: expected {_number(right[at])}, got {got[at]}" for at in bad[:MOST_ENTRIES]),
        cause="An array of np.empty is returned that is not filled where no window reaches, or a sum overflows.",
        cure="Start from zeros; sum in a dtype that holds the sum.",
        anchor="memory",
        **_record(subject, first),
        **counts,
    )


def _precision(subject: Subject, failed: Sequence[Comparison], counts: dict[str, Any]) -> Finding:
    if _unwritten(subject, failed[0]):
        return _garbage(subject, failed[0], counts)
    last = failed[-1]
    error = np.abs(np.asarray(last.result.value, np.float64) - last.right).max() / np.abs(last.right).max()
    likely = next((label for label, bits in LOWER if error > 2.0 ** -(bits + 6)), LOWER[0][0])
    dtype = last.probe.X.dtype
    return Finding(
        LABELS[last.name],
        f"is summed in a lower precision than {dtype}",
        "precision",
        cause=f"The largest error is {error:.1e} of the largest entry, as of sums in {likely}; the formula is right.",
        cure=f"Accumulate in {dtype} or wider, or audit in the precision you promise.",
        anchor="precision",
        **_record(subject, failed[0]),
        **counts,
    )


def _values(subject: Subject, failed: Sequence[Comparison], counts: dict[str, Any]) -> Finding:
    name = failed[0].name
    bounds = _clipping(failed)
    pairs = [(each.probe, np.asarray(each.result.value)) for each in failed]
    theory = None if bounds else explain(name, pairs, slack)  # type: ignore[arg-type]  # the names are those of theories
    smallest = smallest_case(subject, name, theory, failed)
    common: dict[str, Any] = _record(subject, smallest) | {"entries": entries(subject, smallest)} | counts
    if theory:
        because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure, "anchor": theory.anchor}
        return Finding(LABELS[name], f"is wrong: {theory.title}", "values", **because, **common)
    if bounds:
        because = {"cause": "Values beyond the range are cut off.", "cure": "Return the sum itself, in a wider dtype."}
        return Finding(LABELS[name], f"is clipped to {bounds}", "range", anchor="precision", **because, **common)
    if _unwritten(subject, smallest):
        return _garbage(subject, smallest, counts)
    known = tuple(facts(subject, name, failed))
    return Finding(LABELS[name], "is wrong, and no known formula explains it", "values", known=known, **common)


def _garbage(subject: Subject, each: Comparison, counts: dict[str, Any]) -> Finding:
    return Finding(
        LABELS[each.name],
        "holds memory that was never written",
        "not written",
        entries=entries(subject, each),
        cause="An array of np.empty is returned that is not filled where no window reaches.",
        cure="Start from zeros.",
        anchor="memory",
        **_record(subject, each),
        **counts,
    )


def _unwritten(subject: Subject, smallest: Comparison) -> bool:
    """Whether only pixels that no window reaches are wrong, or the result changes from call to call."""
    if smallest.name == "dX":
        wrong = np.asarray(smallest.result.value, np.float64) != smallest.right
        reached = np.zeros(smallest.probe.X[0].size, bool)
        reached[symbolic.triples(smallest.probe.geometry)[1]] = True
        if not np.any(wrong & reached.reshape(smallest.probe.geometry.image)):
            return True
    calls = [subject.results(smallest.probe)[smallest.name].value for _ in range(2)]
    return not all(
        each is not None and np.array_equal(np.asarray(each, np.float64), np.asarray(calls[0], np.float64))
        for each in calls
    )


def _clipping(failed: Sequence[Comparison]) -> str:
    """Return the interval that results are clipped to, where all that is wrong lies on its ends."""
    low, high = math.inf, -math.inf
    for each in failed:
        if each.result.value is None:
            return ""
        got = each.result.value.astype(np.float64)
        low, high = min(low, float(got.min())), max(high, float(got.max()))
    ends = [each.result.value.astype(np.float64) for each in failed if each.result.value is not None]
    if len(failed) < 2 or not all(
        np.array_equal(got, np.clip(each.right, low, high)) for got, each in zip(ends, failed, strict=True)
    ):
        return ""
    below = any(float(each.right.min()) < low for each in failed)
    above = any(float(each.right.max()) > high for each in failed)
    if below and not above and low == 0:
        return ""  # a ReLU, which a theory names
    return f"{_number(low) if below else '−∞'} … {_number(high) if above else '∞'}"


# the smallest case ----------------------------------------------------------------------------------------------------


def smallest_case(subject: Subject, name: str, theory: Theory | None, failed: Sequence[Comparison]) -> Comparison:
    """Find the layer with the fewest numbers at which the same thing is wrong.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    name : str
        S, dX, dF or db.
    theory : Theory or None
        What is wrong, if it is known: the smallest case has to show it.
    failed : sequence of Comparison
        Where it showed.

    Returns
    -------
    Comparison
        Of the first of the layers, in ascending size, that shows it; else the smallest of those that did.
    """
    from jacobians.audit.run import compared

    best = min(failed, key=lambda each: each.probe.case.numbers)
    smaller = itertools.takewhile(
        lambda case: case.numbers < best.probe.case.numbers, sizes_ascending(subject.options, MOST_CASES)
    )
    for case in (*smaller, best.probe.case):
        for probe in _small_numbers(case, subject):
            for each in compared(subject, probe):
                if each.name == name and each.kind == "values" and (theory is None or _agrees(theory, each)):
                    return each
    return best


def _small_numbers(case: Case, subject: Subject) -> Iterator[Probe]:
    """Draw numbers that are easy to read, and then such as an audit draws."""
    generator = np.random.default_rng(1)
    most = exact.exact_magnitude(subject.options.dtype, case.terms)
    yield integers(case, subject.options, min(9, most), generator)
    if most > 9:
        yield integers(case, subject.options, most, generator)


def _agrees(theory: Theory, each: Comparison) -> bool:
    got = np.asarray(each.result.value, np.float64)
    return reproduces(theory, numbers(each.probe), got, slack(each.probe, each.name))


def entries(subject: Subject, smallest: Comparison) -> tuple[str, ...]:
    """Write the first wrong entries of the smallest case, in symbols where the code can be read out."""
    assert smallest.result.value is not None
    got, right = np.ravel(smallest.result.value.astype(np.float64)), np.ravel(smallest.right)
    wrong = np.flatnonzero(got != right)
    case, name = smallest.probe.case, smallest.name
    named = names(*ROLES[name], case)
    formulas = [
        (read_out(subject, name, case, int(at)), read_out(None, name, case, int(at))) for at in wrong[:MOST_ENTRIES]
    ]
    rows = []
    for at, (found, wanted) in zip(wrong, formulas, strict=False):
        if found is None or wanted is None or found == wanted or not _reproduces(subject, smallest):
            rows.append((named[at], _number(right[at]), _number(got[at])))
        else:
            rows.append((named[at], wanted, found))
    width = max((len(wanted) for _, wanted, _ in rows), default=0)
    size = max((len(entry) for entry, _, _ in rows), default=0)
    lines = [f"{entry + ':':<{size + 1}} expected {wanted:<{width}}   got {found}" for entry, wanted, found in rows]
    if len(wrong) > len(rows):
        lines.append(f"… {len(wrong)} of {len(right)} entries are wrong")
    return tuple(lines)


def _reproduces(subject: Subject, smallest: Comparison) -> bool:
    """Whether the code is linear in what it is read out with: doubling a factor doubles the result."""
    probe = smallest.probe
    letter = FACTORS[smallest.name][0]
    plain = dataclasses.replace(probe, b=probe.b * 0)
    doubled = dataclasses.replace(plain, **{letter: getattr(plain, letter) * 2})
    twice, once = (subject.results(each)[smallest.name].value for each in (doubled, plain))
    return (
        twice is not None
        and once is not None
        and twice.shape == once.shape
        and np.array_equal(twice.astype(np.float64), 2 * once.astype(np.float64))
    )


def read_out(subject: Subject | None, name: str, case: Case, at: int) -> str | None:
    """Read out the formula of one entry by giving basis elements; of the right matrices where there is no subject."""
    letters = FACTORS[name]
    g, images = case.geometry, case.images
    shapes = {"X": (images, *g.image), "F": g.filters, "b": g.filters[:1], "G": (images, *g.responses)}
    if math.prod(math.prod(shapes[letter]) for letter in letters) > MOST_READINGS:
        return None
    dtype = np.float64 if subject is None else _dtype_of(subject)
    total: Any = 0
    labels = [_symbols(letter, case) for letter in letters]
    for index in np.ndindex(*(len(each) for each in labels)):
        given = {letter: np.zeros(shape, dtype) for letter, shape in shapes.items()}
        for letter, position in zip(letters, index, strict=True):
            given[letter].reshape(-1)[position] = 1
        probe = Probe(case, given["X"], given["F"], given["b"], given["G"])
        value = expected(probe)[name] if subject is None else subject.results(probe)[name].value
        if value is None or np.size(value) <= at:
            return None
        number = float(np.ravel(np.asarray(value, np.float64))[at])
        if not math.isfinite(number):
            return None
        if abs(number - round(number)) <= slack(probe, name):
            number = float(round(number))
        if number:
            factor = int(number) if number.is_integer() else sympy.nsimplify(number, rational=True)
            total = total + factor * math.prod(label[position] for label, position in zip(labels, index, strict=True))
    return symbolic.write(total, "text")


def _dtype_of(subject: Subject) -> np.dtype[Any]:
    from jacobians.audit.probes import dtype_of

    return dtype_of(subject.options.dtype)


def names(letter: str, role: Any, case: Case) -> list[str]:
    """Name the entries of an array of a case; those of image 2 end in ^(2)."""
    single = symbolic.names(letter, role, case.geometry)
    if case.images == 1 or role in {"filters", "bias"}:
        return single
    return [f"{name}^({image})" for image in range(1, case.images + 1) for name in single]


def _symbols(letter: str, case: Case) -> list[Any]:
    letter_of, role = NAMED[letter]
    return [sympy.Symbol(name) for name in names(letter_of, role, case)]


# the case as arrays and as code ---------------------------------------------------------------------------------------


def arrays(probe: Probe, name: str, got: Array | None, right: Array) -> dict[str, Any]:
    """Return the case as plain lists."""
    record = {letter: _list(getattr(probe, letter)) for letter in "XFbG"}
    return record | {"right": _list(right), "got": None if got is None else _list(got), "result": name}


def _list(array: Array) -> Any:
    wide = array.astype(np.float64) if array.dtype.kind not in "iu" else array
    return [] if array.size > 2000 else wide.tolist()


def code(subject: Subject, probe: Probe, name: str, right: Array) -> str:
    """Return Python that calls the code under audit on the case and prints its result beside the right one."""
    function = subject.forward if name == "S" else subject.backward
    module, called = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    known = module and called and "<" not in called and module not in {"__main__", "functools"}
    word = called if known else ("forward" if name == "S" else "backward")
    letters = ["X", "F", *(["b"] if subject.options.bias else []), *([] if name == "S" else ["G"])]
    dtype = subject.options.dtype
    lines = ["import numpy as np", *(["import ml_dtypes"] if dtype == "bfloat16" else [])]
    lines.append(f"from {module} import {called}" if known else f"# {word} is the function under audit")
    kind_of = "ml_dtypes.bfloat16" if dtype == "bfloat16" else f"np.{dtype}"
    lines += [f"{letter} = np.array({_list(getattr(probe, letter))}, {kind_of})" for letter in letters]
    given = ", ".join(letters)
    outputs = {"S": f"S = {word}({given})"} if name == "S" else {}
    gradients = ", ".join(subject.names[1:] if subject.forward else subject.names)
    lines.append(outputs.get(name, f"{gradients} = {word}({given})"))
    lines.append(f"print({name})")
    lines.append(f"print(np.array({_list(right)}))  # right")
    return "\n".join(lines)


def _number(value: Any) -> str:
    number = float(value)
    return str(int(number)) if math.isfinite(number) and number.is_integer() else f"{number:.6g}"
