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
MAPS = "Check how the marked index runs: in the loops, in the letters of the einsum, or in the reshape."
EDGES = "Check the first and last value of this loop or slice: range(n) ends at n − 1, and A[p:-p] is empty for p = 0."
COMPARE = "Compare the two formulas: the marks show where they differ."
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
        "Remove the rotation: the forward pass of deep learning does not rotate the filter. scipy.signal.convolve "
        "rotates "
        "it, scipy.signal.correlate does not.",
        "{what} is rotated by 180°",
    ),
    Atom("response-turned", "{what} is flipped along {axes}", TURNED, "{what} is rotated by 180°"),
    Atom("image-turned", "{what} is flipped along {axes}", TURNED, "{what} is rotated by 180°"),
    Atom(
        "axes-exchanged",
        "{axes} of {what} are swapped",
        "Look for a transposition, or for loops whose order differs from that of the indices.",
    ),
    Atom(
        "axis-borrowed",
        "the {role} index of {other} is used along {axes}",
        "Use l and a along the first axis, and m and b along the second.",
    ),
    Atom("step-ignored", "the {step} is ignored along {axes}", STEPS, "the {step} is ignored"),
    Atom("step-of-other-axis", "the {step} of {other} is used along {axes}", STEPS),
    Atom("options-exchanged", "the {step}s of {axes} are swapped", STEPS),
    Atom("steps-exchanged", "stride and dilation are swapped along {axes}", STEPS, "stride and dilation are swapped"),
    Atom("step-of-other-kind", "the {other} is used instead of the {step} along {axes}", STEPS),
    Atom("step-wrong", "the {step} along {axes} is {number} instead of {right}", STEPS),
    Atom("step-missing", "every {entry} uses the same pixels along {axes}", STEPS),
    Atom("padding-ignored", "the padding is ignored along {axes}", STEPS, "the padding is ignored"),
    Atom(
        "padding-after",
        "along {axes}, the padding after the image is used instead of the padding before it",
        "Subtract the padding before the image; the padding after it only makes the response map larger.",
    ),
    Atom(
        "padding-twice",
        "the padding is subtracted twice along {axes}",
        "Either pad the image or subtract the padding from the index, but not both.",
    ),
    Atom(
        "padding-added",
        "the padding is added instead of subtracted along {axes}",
        STEPS,
        "the padding is added instead of subtracted",
    ),
    Atom(
        "offset",
        "the pixel index along {axes} is {by} too {direction}",
        "Check what is added to the index, and where the slice that cuts off the padding begins.",
    ),
    Atom("index-constant", "only {which} is {used}", MAPS),
    Atom("index-shifted", "{entries} of {what} are shifted by {by}", MAPS),
    Atom("index-mapped", "{entries} of {what} are taken at {read} instead of {right}", MAPS),
    Atom(
        "index-reversed",
        "{entries} of {what} are in reverse order",
        "np.flip without axes also flips planes, filters and images: name the spatial axes.",
    ),
    Atom(
        "index-summed",
        "every {entry} of {what} is multiplied with every {partner}",
        "Sum only products with the same index: check the letters of the einsum, or look for a missing index in a "
        "loop.",
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
        "A group is a block of neighbouring planes and filters: reshape to (groups, planes of a group), in this order.",
    ),
    Atom(
        "order",
        "{what} is {read} with its axes in the wrong order, ({order})",
        "Check reshape and transpose: memory follows the order of an array's axes, and the last axis runs fastest.",
    ),
    Atom(
        "in-steps",
        "{entries} are in the wrong order: {order}",
        "Check slices with a step, and a reshape that puts neighbours into different blocks.",
    ),
    Atom(
        "neighbours-exchanged",
        "{entries} are swapped {which}",
        "Look for an index that is computed with ^ 1, or for two entries that are swapped.",
    ),
    Atom(
        "border",
        "pixels {where} are {kind} along {axes} instead of being 0",
        "Pad with zeros: negative indices count from the end, and np.roll and the other modes of np.pad take pixels "
        "of the "
        "image.",
        "pixels {where} are {kind} instead of being 0",
    ),
    Atom("first-lost", "{which} {verb}", EDGES),
    Atom("last-lost", "{which} {verb}", EDGES),
    Atom(
        "remainder-lost",
        "{entries} of {what} that are left over after blocks of {step} {verb}",
        "Add a loop over the rest, which does not fill a block.",
    ),
    Atom("some-lost", "only products with {condition} are summed", EDGES),
    Atom("hole", "products with {condition} are left out", EDGES),
    Atom(
        "one-product",
        "only the {which} {entry} is kept in each sum",
        "Use += instead of =. Where indices repeat, A[i] += v adds only once: use np.add.at.",
    ),
    Atom("counted-again", "products are counted more than once{where}", "Look for loops or blocks that overlap."),
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
        "the sum is {how} the number of {entries} that meet there",
        "Sum the products; do not take a mean over the windows that meet.",
    ),
    Atom(
        "factor-missing",
        "ones are used instead of {what}",
        "Multiply with the array itself: check that it is passed on.",
    ),
    Atom("bias-missing", "the bias is missing", "Add b to every response map."),
    Atom(
        "products-missing",
        "the products of {what} are missing",
        "Check that this part is computed and added to the result.",
    ),
    Atom(
        "other-sum",
        "{text} is computed instead of the products of {what}",
        "Check that the products are summed, and that this sum is returned.",
    ),
    Atom("zero", "it is 0 everywhere", "Check that the result is filled and returned."),
    Atom(
        "decay",
        "{number}{what} is added, as by weight decay",
        "Leave regularisation to the optimizer: it is not part of the layer's gradient.",
    ),
    Atom("array-added", "{number}{what} is added", "Look for an addition in place to an array that should start at 0."),
    Atom("constant-added", "{number} is added", "Let the result start at 0."),
    Atom(
        "size-without-tail",
        "its size along {axes} leaves out the tail, the last pixels that no window reaches",
        "Give the result the shape of the image, not the size (h' − 1)·stride + filter.",
    ),
    Atom(
        "size-off",
        "its size along {axes} is {size} instead of {right}",
        "The size of S is H' = (H + padding − dilation·(K − 1) − 1) // stride + 1, with the padding of both sides; a "
        "gradient "
        "has the shape of its array.",
    ),
    Atom(
        "images-apart",
        "the gradients of the images are not summed: there is one {what} per image",
        "Sum the gradients of parameters over the batch axis.",
    ),
    Atom(
        "axes-count",
        "it has {number} axes instead of {right}",
        "Keep the batch axis of S and ∂l/∂X; sum the gradients of F and b over it.",
    ),
    Atom(
        "another-relation",
        "it sums other products, and its formula has little in common with the right one",
        COMPARE,
    ),
    Atom("otherwise", "{read}", COMPARE),
    Atom("otherwise-added", "{text} is added as well", COMPARE),
)
ATOMS = {atom.name: atom for atom in ROWS}


def atoms() -> tuple[Atom, ...]:
    """Return all atoms, in the order in which the page of mistakes lists them."""
    return ROWS
