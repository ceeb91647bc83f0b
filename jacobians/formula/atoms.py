"""One page of atoms: the kinds of difference between two formulas, each with its phrase and where to look."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from jacobians.formula.layouts import PLANES_FIRST

__all__ = ["ATOMS", "Atom", "atoms"]


@dataclasses.dataclass(frozen=True)
class Atom:
    """One kind of difference between two formulas.

    Attributes
    ----------
    name : str
        Also the anchor of its row on the page of mistakes.
    phrase : str
        What is wrong; in braces, what the difference fills in.
    cure : str
        Where in the code to look; in braces, what the layout fills in.
    everywhere : str
        The phrase where all spatial axes are concerned, if it is another one.
    """

    name: str
    phrase: str
    cure: str
    everywhere: str = ""

    @property
    def plain(self) -> str:
        """What is wrong, with ``<…>`` for what the difference fills in."""
        spaced = re.sub(r"(?<=\w)\{", " {", self.phrase.replace("}{", "} {"))
        return re.sub(r"\{(\w+)\}", r"<\1>", spaced)

    def cured(self, places: Mapping[str, str] = PLANES_FIRST) -> str:
        """Return where in the code to look, with the axes of a layout, by default planes first."""
        return self.cure.format(**places)


STEPS = "Index with stride·l + dilation·a − padding, each with the option of its own axis."
MAPS = "Look at how the marked index runs in the loops, in the einsum's letters, or in the reshape."
EDGES = (
    "Look at the first and last value of this loop or slice: range(n) ends at n − 1, and A[p:-p] is empty for p = 0."
)
COMPARE = "Compare the two lines."
TURNED = "Remove the flip: look for np.flip, [::-1] or a step of −1."

ROWS = (
    Atom(
        "filter-not-rotated",
        "the filter is not flipped along {axes}",
        "Rotate the filters' planes before the full convolution: np.flip({filters}, axis={taps}), not np.flip without "
        "axes.",
        "the filter is not rotated by 180°",
    ),
    Atom(
        "filter-turned",
        "{what} is flipped along {axes}",
        "Remove the rotation: deep learning rotates no filter. scipy.signal.convolve does; correlate does not.",
        "{what} is rotated by 180°",
    ),
    Atom("response-turned", "{what} is flipped along {axes}", TURNED, "{what} is rotated by 180°"),
    Atom("image-turned", "{what} is flipped along {axes}", TURNED, "{what} is rotated by 180°"),
    Atom(
        "axes-exchanged",
        "{axes} of {what} are exchanged",
        "Look for a transposition, or for loops in another order than the indices.",
    ),
    Atom(
        "axis-borrowed",
        "the {role} index of {other} is used along {axes}",
        "Use l and a along the first axis, m and b along the second.",
    ),
    Atom("step-ignored", "the {step} of {axes} is ignored", STEPS, "the {step} is ignored"),
    Atom("step-of-other-axis", "the {step} of {other} is used for {axes}", STEPS),
    Atom("options-exchanged", "the {step}s of {axes} are exchanged", STEPS),
    Atom("steps-exchanged", "stride and dilation of {axes} are exchanged", STEPS, "stride and dilation are exchanged"),
    Atom("step-of-other-kind", "the {other} of {axes} is used instead of its {step}", STEPS),
    Atom("step-wrong", "the {step} of {axes} is {number} where {right} is right", STEPS),
    Atom("step-missing", "every {entry} meets the same pixels along {axes}", STEPS),
    Atom("padding-ignored", "the padding of {axes} is ignored", STEPS, "the padding is ignored"),
    Atom(
        "padding-after",
        "along {axes}, the padding after the image is used instead of the padding before it",
        "Subtract the padding before the image; that after it only makes the response map longer.",
    ),
    Atom(
        "padding-twice",
        "the padding of {axes} is subtracted twice",
        "Pad the image, or subtract the padding from the index: one of both.",
    ),
    Atom(
        "padding-added",
        "the padding of {axes} is added instead of subtracted",
        STEPS,
        "the padding is added instead of subtracted",
    ),
    Atom(
        "offset",
        "pixels are taken {by} too {direction} along {axes}",
        "Look at what is added to the index, and where the slice that cuts off the padding begins.",
    ),
    Atom("index-constant", "only {which} is {used}", MAPS),
    Atom("index-shifted", "{entries} of {what} are shifted by {by}", MAPS),
    Atom("index-mapped", "{entries} of {what} are those at {read} where {right} is right", MAPS),
    Atom(
        "index-reversed",
        "{entries} of {what} are in reverse order",
        "np.flip without axes flips planes, filters and images, too: name the spatial axes.",
    ),
    Atom(
        "index-summed",
        "every {entry} of {what} meets every {partner}",
        "Sum only products with the same index: look at the einsum's letters, or for a missing index in a loop.",
    ),
    Atom("index-borrowed", "the index of {other} is used for {entries} of {what}", MAPS),
    Atom(
        "bias-axis",
        "the bias runs along another axis: b is indexed by {other}",
        "Add b along the axis of the filters: S + {bias}.",
    ),
    Atom(
        "bias-gradient-axis",
        "G is summed over the wrong axes, and one entry is left for each of its {other}s",
        "Sum G over every axis but that of the filters: {gradient}.sum(axis={summed}).",
    ),
    Atom(
        "groups-interleaved",
        "{what} is read as if its groups were interleaved",
        "Groups are blocks of neighbouring planes and filters: reshape to (groups, planes of a group), in this order.",
    ),
    Atom(
        "order",
        "{what} is {read} in another order of axes, ({order})",
        "Look at reshape and transpose: memory is in the order of an array's axes, the last one running fastest.",
    ),
    Atom(
        "in-steps",
        "{entries} are {how} steps of {step}, one remainder after the other",
        "Look at slices with a step, and at a reshape that deals neighbours to different blocks.",
    ),
    Atom(
        "neighbours-exchanged",
        "{entries} are exchanged {which}",
        "Look at an index that is computed with ^ 1, and at two entries that change places.",
    ),
    Atom(
        "border",
        "pixels {where} are {kind} along {axes}, where they are 0",
        "Pad with zeros: negative indices count from the end; np.roll and np.pad's other modes fold.",
        "pixels {where} are {kind}, where they are 0",
    ),
    Atom("first-lost", "{which} {verb}", EDGES),
    Atom("last-lost", "{which} {verb}", EDGES),
    Atom(
        "remainder-lost",
        "what remains of {entries} of {what} after blocks of {step} {verb}",
        "Add a loop over the rest, which is not a whole block.",
    ),
    Atom("some-lost", "only products with {condition} are summed", EDGES),
    Atom("hole", "products with {condition} are left out", EDGES),
    Atom(
        "one-product",
        "only the {which} {entry} of each sum is left",
        "Use += in place of =; and where indices repeat, A[i] += v adds once: use np.add.at.",
    ),
    Atom("counted-again", "products are counted again{where}", "Look for loops or blocks that overlap."),
    Atom("sign", "the sign of {what} is wrong", "Look for a minus sign."),
    Atom(
        "factor",
        "every product is multiplied by {number}",
        "Look for a constant factor: an average, a ½ of a loss, a learning rate.",
    ),
    Atom(
        "size-factor",
        "the sum is {how} {sizes}",
        "Sum the products; take a mean over images or responses only where the loss does.",
    ),
    Atom(
        "count-factor",
        "the sum is {how} how many {entries} meet there",
        "Sum the products, without a mean over the windows that meet.",
    ),
    Atom(
        "factor-missing",
        "ones are used instead of {what}",
        "Multiply with the array itself: look whether it is passed on.",
    ),
    Atom("bias-missing", "the bias is missing", "Add b to every response map."),
    Atom(
        "products-missing",
        "the products of {what} are missing",
        "Look whether this part is computed, and added to the result.",
    ),
    Atom(
        "other-sum",
        "{text} is computed instead of the products of {what}",
        "Look whether the products are summed, and whether that sum is what is returned.",
    ),
    Atom("zero", "it is 0 everywhere", "Look whether the result is filled, and returned."),
    Atom(
        "decay",
        "{number}{what} is added, as by weight decay",
        "Leave regularisation to the optimiser: it is no part of the layer's gradient.",
    ),
    Atom(
        "array-added", "{number}{what} is added", "Look for what is added in place to an array that should start at 0."
    ),
    Atom("constant-added", "{number} is added", "Let the result start at 0."),
    Atom(
        "size-without-tail",
        "its size along {axes} leaves out the tail that the stride does not reach",
        "Make the result of the image's shape, not of (h' − 1)·stride + filter.",
    ),
    Atom(
        "size-off",
        "its size along {axes} is {size} where {right} is right",
        "H' is (H + padding − dilation·(K − 1) − 1) // stride + 1.",
    ),
    Atom(
        "images-apart",
        "the images are not summed: every image has {what} of its own",
        "Sum the gradients of parameters over the batch axis.",
    ),
    Atom(
        "axes-count",
        "it has {number} axes where {right} are right",
        "Keep the batch axis, and sum gradients of parameters over it.",
    ),
    Atom(
        "another-relation",
        "it sums other products, by a relation that has little in common with the right one",
        COMPARE,
    ),
    Atom("otherwise", "{read}", COMPARE),
    Atom("otherwise-added", "besides, {text} is added", COMPARE),
)
ATOMS = {atom.name: atom for atom in ROWS}


def atoms() -> tuple[Atom, ...]:
    """Return all atoms, in the order in which the page of mistakes lists them."""
    return ROWS
