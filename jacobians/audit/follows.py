"""Whether a backward pass is the right one of a forward pass that is wrong, so that there is one error, not several."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jacobians.audit.compare import Comparison, Run, listed
from jacobians.audit.report import Finding
from jacobians.evidence import exact

__all__ = ["following", "merged", "raised_once"]

RAISED_TOO = "the backward pass raises the same exception"


def following(run: Run) -> tuple[str, ...]:
    """Find the wrong gradients that are right gradients of the wrong responses."""
    failed = [each for each in run.tried if run.is_wrong(each) and each.name not in run.unsteady]
    kinds = {name: {each.kind for each in failed if each.name == name} for name in run.subject.names}
    responses = run.layer.gives.get("forward", ("",))[0]
    of_responses = kinds.get(responses, set())
    # From what is not there, or no number, nothing is derived.
    if not run.layer.factors or not of_responses & {"values", "shape"} or "not written" in of_responses:
        return ()
    # What is derived from a forward pass that gives something else refuses the right upstream gradient.
    allowed = {"values"} if of_responses == {"values"} else {"values", "shape", "exception"}
    found = (name for name in kinds if name != responses and kinds[name] and kinds[name] <= allowed)
    return tuple(name for name in found if _follows(run, responses, name, failed))


def _follows(run: Run, responses: str, name: str, failed: Sequence[Comparison]) -> bool:
    """Whether a gradient is that of S at all layers where either is wrong, but for those where both raise the same."""
    raised = {(each.probe.case, each.name): each.result.raised for each in failed if each.kind == "exception"}
    cases = dict.fromkeys(each.probe.case for each in failed if each.name in {responses, name})
    left = [case for case in cases if not (of_S := raised.get((case, responses))) or of_S != raised.get((case, name))]
    return bool(left) and all(_is_adjoint(run, responses, name, case) for case in left)


def _is_adjoint(run: Run, responses: str, name: str, case: Any) -> bool:
    """Whether Σ G·(S(…, A) − S(…, 0)) = Σ dA·A for integers A in the place of X, F or b."""
    # For dA linear in G this is what makes it the gradient of a form that is linear in A.
    letter, upstream = name.removeprefix("d"), run.layer.takes["backward"][-1]
    probe, other = (run.layer.small(case, run.seed + more) for more in range(2))
    A = other.arrays[letter]
    with_A, without = (run.again(probe.replaced(**{letter: each}), responses).value for each in (A, A * 0))
    if with_A is None or without is None or with_A.shape != without.shape:
        return False
    G = probe.arrays[upstream]
    if with_A.shape != G.shape:
        magnitude = max(int(np.abs(G.astype(np.float64)).max()), 1)
        G = exact.draw_integers(np.random.default_rng(run.seed), with_A.shape, magnitude, np.int64)
    G = G.astype(with_A.dtype)
    gradient = run.again(probe.replaced(**{upstream: G}), name).value
    if gradient is None or gradient.shape != A.shape:
        return False
    g, S, S_0, a, d = (np.asarray(each, np.float64) for each in (G, with_A, without, A, gradient))
    bound = run.layer.slack(probe, responses) * np.abs(g).sum() * 2 + run.layer.slack(probe, name) * np.abs(a).sum()
    return bool(abs(np.sum(g * (S - S_0)) - np.sum(d * a)) <= bound)


def merged(run: Run, responses: Finding, names: Iterable[str]) -> Finding:
    """Say of the finding about S which gradients are no errors of their own."""
    labels = tuple(run.label(name) for name in names)
    several = listed(labels)
    follow, are, their = ("follow", "are", "gradients") if labels[1:] else ("follows", "is", "gradient")
    consistent = "the backward pass is consistent with the forward pass"
    return dataclasses.replace(
        responses,
        title=f"{responses.title}; {several} {follow} it",
        cure=f"{responses.cure or 'Correct the forward pass.'} Then derive {several} from it again.",
        known=(*responses.known, f"{several} {are} the right {their} of this {responses.about}: {consistent}"),
        follows=labels,
    )


def raised_once(findings: Sequence[Finding], responses: str) -> list[Finding]:
    """Make one finding of an exception of several results, or of both passes, of which `responses` is the forward."""
    found: list[Finding] = []
    for each in findings:
        raised = [other.kind == each.kind == "exception" and other.title == each.title for other in found]
        if True not in raised:
            found.append(each)
        else:
            at = raised.index(True)
            found[at] = _both(found[at], each, responses)
    return found


def _both(one: Finding, other: Finding, responses: str) -> Finding:
    """Make one finding of two of the same exception: of the forward pass, if it is one of them."""
    if one.about == other.about:
        return dataclasses.replace(one, follows=tuple(dict.fromkeys((*one.follows, *other.follows))))
    if responses in {one.about, other.about}:
        first, second = (one, other) if one.about == responses else (other, one)
        known = tuple(dict.fromkeys((*first.known, RAISED_TOO, *second.known)))
        follows = dict.fromkeys((*first.follows, second.about, *second.follows))
        return dataclasses.replace(first, follows=tuple(follows), known=known)
    known = tuple(dict.fromkeys((*one.known, *other.known)))
    return dataclasses.replace(
        one, about="backward", follows=(*(one.follows or (one.about,)), other.about), known=known
    )
