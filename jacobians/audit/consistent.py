"""Whether a backward pass is the right one of a forward pass that is wrong, so that there is one error, not several."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.judge import slack
from jacobians.audit.probes import Case, Probe, integers
from jacobians.audit.subject import LABELS, Subject
from jacobians.evidence import exact

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["following", "merged", "raised_once"]

Array = npt.NDArray[Any]

# So small that sums of all products of a layer are exact, and small enough to tell forms apart with a few layers.
MAGNITUDE = 9
RAISED_TOO = "the backward pass raises it too"
ARGUMENTS = {"dX": "X", "dF": "F", "db": "b"}


def following(subject: Subject, failed: Sequence[Comparison], seed: int) -> tuple[str, ...]:
    """Find the wrong gradients that are right gradients of the wrong responses.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    failed : sequence of Comparison
        What is wrong, at all layers.
    seed : int
        Of the audit.

    Returns
    -------
    tuple of str
        Those of dX, dF and db that are wrong, and satisfy at every layer where they or S are wrong
        ``Σ G·(S(…, A) − S(…, 0)) = Σ dA·A`` for integers A in the place of X, F or b, and G of the shape and dtype of
        S. For dA linear in G this is what makes it the gradient of a form that is linear in A. Layers at which both
        raise the same exception are left out, if there are others.
    """
    kinds = {name: {each.kind for each in failed if each.name == name} for name in ("S", *ARGUMENTS)}
    if not kinds["S"] or kinds["S"] - {"values", "shape", "dtype", "exception"}:
        return ()
    # What is derived from a forward pass that gives something else refuses the right upstream gradient.
    allowed = {"values"} if kinds["S"] == {"values"} else {"values", "shape", "exception"}
    found = (name for name in ARGUMENTS if kinds[name] and kinds[name] <= allowed)
    return tuple(name for name in found if _follows(subject, name, failed, seed))


def _follows(subject: Subject, name: str, failed: Sequence[Comparison], seed: int) -> bool:
    """Whether a gradient is that of S at all layers, but for those where both passes raise the same."""
    raised = {(each.probe.case, each.name): each.result.raised for each in failed if each.kind == "exception"}
    cases = dict.fromkeys(each.probe.case for each in failed if each.name in {"S", name})
    left = [case for case in cases if not raised.get((case, "S")) or raised[case, "S"] != raised.get((case, name))]
    return bool(left) and all(_adjoint(subject, name, case, seed) for case in left)


def _adjoint(subject: Subject, name: str, case: Case, seed: int) -> bool:
    letter = ARGUMENTS[name]
    magnitude = min(MAGNITUDE, exact.exact_magnitude(subject.options.dtype, case.terms))
    generator = np.random.default_rng((seed, case.numbers))
    probe, other = (integers(case, subject.options, magnitude, generator) for _ in range(2))
    A = getattr(other, letter)
    with_A, without = (subject.results(_replaced(probe, letter, each))["S"].value for each in (A, A * 0))
    if with_A is None or without is None or with_A.shape != without.shape:
        return False
    same = with_A.shape == probe.G.shape
    given = probe.G if same else exact.draw_integers(generator, with_A.shape, magnitude, np.int64)
    given = given.astype(with_A.dtype)
    gradient = subject.results(_replaced(probe, "G", given))[name].value
    if gradient is None or gradient.shape != A.shape:
        return False
    G, S, wide = _wide(given), _wide(with_A) - _wide(without), _wide(A)
    bound = slack(probe, "S") * np.abs(G).sum() * 2 + slack(probe, name) * np.abs(wide).sum()
    return bool(abs(np.sum(G * S) - np.sum(_wide(gradient) * wide)) <= bound)


def _wide(A: Array) -> Array:
    return np.asarray(A, np.float64)


def _replaced(probe: Probe, letter: str, A: Array) -> Probe:
    changes: dict[str, Any] = {letter: A}
    return dataclasses.replace(probe, **changes)


def merged(responses: Finding, names: Iterable[str]) -> Finding:
    """Say of the finding about S which gradients are no errors of their own.

    Parameters
    ----------
    responses : Finding
        About S.
    names : iterable of str
        What `following` gives, one name at least.

    Returns
    -------
    Finding
        One finding with one cure.
    """
    labels = tuple(LABELS[name] for name in names)
    several = " and ".join(([", ".join(labels[:-1])] if labels[1:] else []) + [labels[-1]])
    follow, are, their = ("follow", "are", "gradients") if labels[1:] else ("follows", "is", "gradient")
    return dataclasses.replace(
        responses,
        title=f"{responses.title}; {several} {follow} it",
        cure=f"{responses.cure or 'Mend the forward pass.'} Then derive {several} from it again.",
        known=(
            *responses.known,
            f"{several} {are} the right {their} of this S: the backward pass is consistent with the forward pass",
        ),
        follows=labels,
    )


def _same_exception(left: Finding, right: Finding) -> bool:
    return left.kind == right.kind == "exception" and left.title == right.title


def raised_once(findings: Sequence[Finding]) -> list[Finding]:
    """Make one finding of an exception that leaves several results without a value.

    Parameters
    ----------
    findings : sequence of Finding
        Of all results.

    Returns
    -------
    list of Finding
        The same, with those about the same exception as one: of the forward pass, where that raises it too.
    """
    found: list[Finding] = []
    for finding in findings:
        first = next((each for each in found if _same_exception(each, finding)), None)
        if first is None:
            found.append(finding)
        else:
            found[found.index(first)] = _both(first, finding)
    return found


def _both(first: Finding, other: Finding) -> Finding:
    known = tuple(dict.fromkeys((*first.known, *other.known)))
    if first.about == LABELS["S"]:
        known = tuple(dict.fromkeys((*first.known, RAISED_TOO, *other.known)))
        return dataclasses.replace(first, follows=(*first.follows, other.about), known=known)
    follows = (*(first.follows or (first.about,)), other.about)
    return dataclasses.replace(first, about="backward", follows=follows, known=known)
