"""Ways in which loops and array code go wrong, each with random parameters.

A family draws one `Mistake`, or None where it makes no sense for the result. A mistake changes a `Nest` at its stage;
its slot tells what it changes, so that two mistakes of one program never change the same thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tests.zoo.nest import FACTORS, TARGET

STEPS, RANGES, MAPS, BORDER, ORDERS, ONES, WINNER, SCALE, ADDED, AFTER = range(10)
PARTS = {
    "X": ("image", "plane"),
    "F": ("filter", "plane of the filter"),
    "G": ("image", "response map"),
    "b": ("filter",),
}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: at which stage, in which slot, in words, and what it does to a nest."""

    stage: int
    slot: str
    text: str
    change: Callable
    family: str = ""


@dataclass(frozen=True)
class Draw:
    """What mistakes are drawn for."""

    rng: np.random.Generator
    result: str
    axes: int
    groups: int
    bias: bool
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    def one(self, choices):
        choices = list(choices)
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability):
        return bool(self.rng.random() < probability)

    def some_axes(self):
        """One axis, or all of them."""
        if self.axes == 1 or self.chance(0.35):
            return tuple(range(self.axes))
        return (int(self.rng.integers(self.axes)),)

    def variables(self):
        found = ["n", "i", *(f"l{axis}" for axis in range(self.axes))]
        return found if self.result == "db" else [*found, "q", *(f"a{axis}" for axis in range(self.axes))]

    def arrays(self):
        return [*FACTORS[self.result], TARGET[self.result]]


def say(variable):
    """A loop variable in words."""
    words = {"n": "image n", "i": "filter i", "q": "plane q"}
    return words.get(variable) or f"{'response l' if variable[0] == 'l' else 'tap a'} of axis {variable[1]}"


def part(array, position):
    """One index of an array in words."""
    outer = PARTS[array]
    if position < len(outer):
        return f"{outer[position]} of {'S' if array == 'G' else array}"
    return f"axis {position - len(outer)} of {'S' if array == 'G' else array}"


def on(axes, all_axes):
    return "all axes" if len(axes) == all_axes else "axis " + ", ".join(map(str, axes))


# steps and sizes: before the loops ------------------------------------------------------------------------------------

STEP_RULES = {
    "1": lambda z, axis, own, other: 1,
    "one more": lambda z, axis, own, other: own[axis] + 1,
    "one less": lambda z, axis, own, other: max(0, own[axis] - 1),
    "twice": lambda z, axis, own, other: 2 * own[axis],
    "that of the next axis": lambda z, axis, own, other: own[(axis + 1) % len(own)],
    "that of axis 0": lambda z, axis, own, other: own[0],
    "that of the last axis": lambda z, axis, own, other: own[-1],
    "the other step": lambda z, axis, own, other: other[axis],
    "their product": lambda z, axis, own, other: own[axis] * other[axis],
    "negative": lambda z, axis, own, other: -own[axis],
}


def steps(draw):
    """A wrong stride or dilation."""
    if draw.result == "db":
        return None
    of, rule, axes, sized = draw.one(("stride", "dilation")), draw.one(STEP_RULES), draw.some_axes(), draw.chance(0.4)

    def change(nest):
        z = nest.sizes
        own, other = (z.stride, z.dilation) if of == "stride" else (z.dilation, z.stride)
        values = nest.step if of == "stride" else nest.spacing
        for axis in axes:
            values[axis] = STEP_RULES[rule](z, axis, own, other)
        resize(nest, axes, sized)

    text = f"{of} of {on(axes, draw.axes)} is {rule}" + (
        ", in the size of S, too" if sized and draw.result == "S" else ""
    )
    return Mistake(STEPS, of, text, change)


def steps_exchanged(draw):
    """Stride and dilation exchanged, or those of the axes."""
    if draw.result == "db":
        return None
    how, axes, sized = draw.one(("kinds", "strides", "dilations")), draw.some_axes(), draw.chance(0.4)
    if how != "kinds":
        axes = tuple(range(draw.axes))

    def change(nest):
        if how == "kinds":
            for axis in axes:
                nest.step[axis], nest.spacing[axis] = nest.spacing[axis], nest.step[axis]
        elif how == "strides":
            nest.step.reverse()
        else:
            nest.spacing.reverse()
        resize(nest, axes, sized)

    words = {
        "kinds": f"stride and dilation are exchanged on {on(axes, draw.axes)}",
        "strides": "the strides of the axes are exchanged",
        "dilations": "the dilations of the axes are exchanged",
    }
    return Mistake(
        STEPS, "stride", words[how] + (", in the size of S, too" if sized and draw.result == "S" else ""), change
    )


def resize(nest, axes, sized):
    """Take the size of S from the nest's own steps and padding."""
    if not sized or nest.result != "S":
        return
    z = nest.sizes
    for axis in axes:
        rows = z.image[axis] + nest.before[axis] + nest.behind[axis] - abs(nest.spacing[axis]) * (z.taps[axis] - 1) - 1
        set_responses(nest, axis, max(0, rows // max(1, abs(nest.step[axis])) + 1))


def set_responses(nest, axis, size):
    nest.count[f"l{axis}"] = nest.shape[2 + axis] = size


OFFSETS = {
    "+1": lambda z, axis: 1,
    "−1": lambda z, axis: -1,
    "+2": lambda z, axis: 2,
    "−2": lambda z, axis: -2,
    "+p": lambda z, axis: z.padding[axis][0],
    "−p": lambda z, axis: -z.padding[axis][0],
    "+(k − 1)": lambda z, axis: z.taps[axis] - 1,
    "−(k − 1)": lambda z, axis: 1 - z.taps[axis],
    "+(K − 1)": lambda z, axis: z.extent[axis] - 1,
    "−(K − 1)": lambda z, axis: 1 - z.extent[axis],
    "−k ÷ 2": lambda z, axis: -(z.taps[axis] // 2),
    "+p − K ÷ 2": lambda z, axis: z.padding[axis][0] - z.extent[axis] // 2,
    "+p − (K − 1) ÷ 2": lambda z, axis: z.padding[axis][0] - (z.extent[axis] - 1) // 2,
    "+tail": lambda z, axis: z.tail[axis],
    "−tail": lambda z, axis: -z.tail[axis],
    "+(s − 1)": lambda z, axis: z.stride[axis] - 1,
    "−(s − 1)": lambda z, axis: 1 - z.stride[axis],
    "+s": lambda z, axis: z.stride[axis],
    "+(δ − 1)": lambda z, axis: z.dilation[axis] - 1,
    "−(δ − 1)·(k − 1)": lambda z, axis: -(z.dilation[axis] - 1) * (z.taps[axis] - 1),
}


def offset(draw):
    """Pixels counted from another place."""
    if draw.result == "db":
        return None
    rule, axes = draw.one(OFFSETS), draw.some_axes()

    def change(nest):
        for axis in axes:
            nest.offset[axis] += OFFSETS[rule](nest.sizes, axis)

    return Mistake(STEPS, "offset", f"pixels of {on(axes, draw.axes)} are read {rule} too far", change)


PADDING_RULES = {
    "ignored": lambda z, axis: (0, 0),
    "exchanged before and after": lambda z, axis: z.padding[axis][::-1],
    "that before on both sides": lambda z, axis: (z.padding[axis][0],) * 2,
    "that after on both sides": lambda z, axis: (z.padding[axis][1],) * 2,
    "half of both on each side": lambda z, axis: (sum(z.padding[axis]) // 2,) * 2,
    "all before": lambda z, axis: (sum(z.padding[axis]), 0),
    "all after": lambda z, axis: (0, sum(z.padding[axis])),
    "twice": lambda z, axis: tuple(2 * zeros for zeros in z.padding[axis]),
    "at most k − 1": lambda z, axis: tuple(min(zeros, z.taps[axis] - 1) for zeros in z.padding[axis]),
    "at most 1": lambda z, axis: tuple(min(zeros, 1) for zeros in z.padding[axis]),
    "that of the next axis": lambda z, axis: z.padding[(axis + 1) % z.axes],
    "that of axis 0": lambda z, axis: z.padding[0],
    "one more": lambda z, axis: tuple(zeros + 1 for zeros in z.padding[axis]),
    "that of a filter of the same size, K ÷ 2": lambda z, axis: (z.extent[axis] // 2,) * 2,
}


def padding(draw):
    """Another padding."""
    if draw.result == "db":
        return None
    rule, axes, sized = draw.one(PADDING_RULES), draw.some_axes(), draw.chance(0.4)

    def change(nest):
        for axis in axes:
            nest.before[axis], nest.behind[axis] = PADDING_RULES[rule](nest.sizes, axis)
        resize(nest, axes, sized)

    text = f"padding of {on(axes, draw.axes)} is {rule}"
    return Mistake(STEPS, "padding", text + (", in the size of S, too" if sized and draw.result == "S" else ""), change)


RESPONSE_SIZES = {
    "one more": lambda z, axis: z.out[axis] + 1,
    "one less": lambda z, axis: z.out[axis] - 1,
    "rounded up": lambda z, axis: -(-(z.padded[axis] - z.extent[axis]) // z.stride[axis]) + 1,
    "the padded image's": lambda z, axis: -(-z.padded[axis] // z.stride[axis]),
    "the image's": lambda z, axis: -(-z.image[axis] // z.stride[axis]),
    "that without padding": lambda z, axis: (z.image[axis] - z.extent[axis]) // z.stride[axis] + 1,
    "that without dilation": lambda z, axis: (z.padded[axis] - z.taps[axis]) // z.stride[axis] + 1,
    "that without stride": lambda z, axis: z.padded[axis] - z.extent[axis] + 1,
    "that of the next axis": lambda z, axis: z.out[(axis + 1) % z.axes],
    "full": lambda z, axis: (z.padded[axis] + z.extent[axis] - 2) // z.stride[axis] + 1,
}
TAP_SIZES = {
    "one more": lambda z, axis: z.taps[axis] + 1,
    "one less": lambda z, axis: z.taps[axis] - 1,
    "k and the tail": lambda z, axis: (z.extent[axis] + z.tail[axis] - 1) // z.dilation[axis] + 1,
    "the extent": lambda z, axis: z.extent[axis],
    "that of the next axis": lambda z, axis: z.taps[(axis + 1) % z.axes],
    "that of axis 0": lambda z, axis: z.taps[0],
}
IMAGE_SIZES = {
    "one more": lambda z, axis: (0, z.image[axis] + 1),
    "one less": lambda z, axis: (0, z.image[axis] - 1),
    "the padded image's": lambda z, axis: (z.padding[axis][0], z.padded[axis]),
    "the image's and the padding before": lambda z, axis: (z.padding[axis][0], z.padding[axis][0] + z.image[axis]),
    "that without the tail": lambda z, axis: (0, z.image[axis] - z.tail[axis]),
    "that of the windows": lambda z, axis: (z.padding[axis][0], z.padded[axis] - z.tail[axis]),
    "the padded image's without twice the padding before": lambda z, axis: (
        0,
        z.padded[axis] - 2 * z.padding[axis][0],
    ),
    "that of the next axis": lambda z, axis: (0, z.image[(axis + 1) % z.axes]),
}


def result_size(draw):
    """A result of another size; or of the right one, with zeros or nothing where the other one ends."""
    if draw.result == "db":
        return None
    rules = {"S": RESPONSE_SIZES, "dX": IMAGE_SIZES, "dF": TAP_SIZES}[draw.result]
    rule, axes, moves = draw.one(rules), draw.some_axes(), draw.chance(0.3)

    def change(nest):
        for axis in axes:
            if nest.result == "dX":
                zeros, size = rules[rule](nest.sizes, axis)
                nest.offset[axis] += zeros
                nest.shape[2 + axis] = max(0, size)
                continue
            letter = "l" if nest.result == "S" else "a"
            nest.count[f"{letter}{axis}"] = nest.shape[2 + axis] = max(0, rules[rule](nest.sizes, axis))
        if moves:
            nest.after.append(lambda array: fitted(array, nest.sizes.shapes[TARGET[nest.result]]))

    text = f"the result's size on {on(axes, draw.axes)} is {rule}"
    return Mistake(STEPS, "size", text + (", then cut or filled up to the right one" if moves else ""), change)


def fitted(array, shape):
    """Cut at the end, or fill up with zeros."""
    if array.ndim != len(shape):
        return array
    found = np.zeros(shape, array.dtype)
    common = tuple(slice(0, min(sizes)) for sizes in zip(array.shape, shape, strict=True))
    found[common] = array[common]
    return found


def loop_size(draw):
    """A loop over responses or taps whose end was computed by another formula."""
    letter = draw.one("l" if draw.result == "db" else "la")
    if (draw.result, letter) in {("S", "l"), ("dF", "a")}:
        letter = "a" if letter == "l" else "l"
    rules = RESPONSE_SIZES if letter == "l" else TAP_SIZES
    rule, axes = draw.one(rules), draw.some_axes()

    def change(nest):
        z = nest.sizes
        for axis in axes:
            right = (z.out if letter == "l" else z.taps)[axis]
            nest.count[f"{letter}{axis}"] = max(0, min(right, rules[rule](z, axis)))

    words = "responses" if letter == "l" else "taps"
    return Mistake(STEPS, f"loop {letter}", f"the loop over {words} of {on(axes, draw.axes)} ends at {rule}", change)


def further(draw):
    """A loop that goes one step too far, and takes the last or the first entry again."""
    variable, again = draw.one(draw.variables()), draw.chance(0.5)
    own = {"S": "nil", "dX": "nq", "dF": "iqa", "db": "i"}[draw.result]
    if variable[0] in own:
        return None

    def change(nest):
        size = nest.count[variable]
        nest.count[variable] = size + 1
        nest.further[variable] = (lambda v: np.minimum(v, size - 1)) if again else lambda v: v % size

    text = f"the loop over {say(variable)} goes one step too far, and takes the {'last' if again else 'first'} again"
    return Mistake(STEPS, f"further {variable}", text, change)


def repeated(draw):
    """G or F spread by repeating entries instead of by zeros between them."""
    if draw.result == "db":
        return None
    of, axes, back = draw.one(("stride", "dilation")), draw.some_axes(), draw.chance(0.3)

    def change(nest):
        z = nest.sizes
        for axis in axes:
            times = (z.stride if of == "stride" else z.dilation)[axis]
            nest.count[f"r{axis}"] = times
            nest.offset[axis] -= times - 1 if back else 0

    what = "S" if of == "stride" else "F"
    text = f"entries of {what} are repeated {of} times on {on(axes, draw.axes)}, {'before' if back else 'after'} them"
    return Mistake(STEPS, "repeat", text, change)


# ranges: which of the products take part ------------------------------------------------------------------------------


def lost(draw):
    """Rows, columns, taps, planes, filters or images that are left out."""
    variable, how = draw.one(draw.variables()), draw.one(LOST)

    def change(nest):
        nest.keep &= LOST[how](nest.at[variable], nest.count[variable])

    return Mistake(RANGES, variable, f"{say(variable)}: {how}", change)


LOST = {
    "without the first": lambda v, size: v >= 1,
    "without the last": lambda v, size: v < size - 1,
    "without the last two": lambda v, size: v < size - 2,
    "without the first and the last": lambda v, size: (v >= 1) & (v < size - 1),
    "every second only": lambda v, size: v % 2 == 0,
    "the odd ones only": lambda v, size: v % 2 == 1,
    "the first only": lambda v, size: v == 0,
    "the last only": lambda v, size: v == size - 1,
    "the first half only": lambda v, size: v < (size + 1) // 2,
    "without the middle one": lambda v, size: v != size // 2,
    "the first three only": lambda v, size: v < 3,
}


def doubled(draw):
    """Products that are counted twice."""
    variable, last = draw.one(draw.variables()), draw.chance(0.5)

    def change(nest):
        v = nest.at[variable]
        nest.coefficient = nest.coefficient * np.where(v == (nest.count[variable] - 1 if last else 0), 2, 1)

    return Mistake(RANGES, variable, f"{say(variable)}: the {'last' if last else 'first'} counts twice", change)


def triangle(draw):
    """A loop that starts, or ends, at the variable of another."""
    if draw.axes < 2 and draw.result == "db":
        return None
    first, second = draw.one(
        [(a, b) for a in draw.variables() for b in draw.variables() if a < b and (a[0] == b[0] or "i" in (a, b))]
        or [("i", "q")]
    )
    how = draw.one(("≤", "≥", "≠"))
    compare = {"≤": np.less_equal, "≥": np.greater_equal, "≠": np.not_equal}[how]

    def change(nest):
        nest.keep &= compare(nest.at[first], nest.at[second])

    return Mistake(RANGES, f"{first} {second}", f"only {say(first)} {how} {say(second)}", change)


def remainder(draw):
    """A loop in vectors whose remainder is not computed, or not summed."""
    variable, step, twice = draw.one(draw.variables()), draw.one((2, 3, 4, 4, 8)), draw.chance(0.2)

    def change(nest):
        v, size = nest.at[variable], nest.count[variable]
        whole = size // step * step
        if twice:
            if whole < size and size > step:
                nest.coefficient = nest.coefficient * np.where((v >= size - step) & (v < whole), 2, 1)
        else:
            nest.keep &= v < whole

    how = "the last block is moved back to fit and counts twice" if twice else "the remainder is left out"
    return Mistake(RANGES, variable, f"{say(variable)} in steps of {step}: {how}", change)


def positions_remainder(draw):
    """The remainder of a loop over all positions, or all taps."""
    letter, step = draw.one("l" if draw.result == "db" else "la"), draw.one((2, 3, 4, 8))
    if draw.axes == 1:
        return None

    def change(nest):
        sizes = [nest.count[f"{letter}{axis}"] for axis in range(draw.axes)]
        flat = np.zeros(len(nest.keep), np.int64)
        for axis, size in enumerate(sizes):
            flat = flat * size + nest.at[f"{letter}{axis}"]
        nest.keep &= flat < int(np.prod(sizes)) // step * step

    words = "responses" if letter == "l" else "taps"
    return Mistake(RANGES, f"flat {letter}", f"all {words} in steps of {step}: the remainder is left out", change)


# maps: other entries --------------------------------------------------------------------------------------------------


def shuffled(v, size, parts):
    """Interleaved order of `parts` blocks, also where they are not equal."""
    order = np.argsort(np.arange(size) % parts, kind="stable")
    return order[np.clip(v, 0, size - 1)] if size else v


def dealt(v, size, parts):
    order = np.argsort(np.argsort(np.arange(size) % parts, kind="stable"))
    return order[np.clip(v, 0, size - 1)] if size else v


MAPS_OF = {
    "is reversed": lambda v, size: size - 1 - v,
    "is the first for all": lambda v, size: 0 * v,
    "is the last for all": lambda v, size: 0 * v + size - 1,
    "is the second for all": lambda v, size: 0 * v + min(1, size - 1),
    "is the next one, cyclic": lambda v, size: (v + 1) % max(1, size),
    "is the one before, cyclic": lambda v, size: (v - 1) % max(1, size),
    "is the second next one, cyclic": lambda v, size: (v + 2) % max(1, size),
    "is rolled by half": lambda v, size: (v + size // 2) % max(1, size),
    "is the next one": lambda v, size: v + 1,
    "is the one before": lambda v, size: v - 1,
    "is the next one, at most the last": lambda v, size: np.minimum(v + 1, size - 1),
    "is interleaved in 2": lambda v, size: shuffled(v, size, 2),
    "is interleaved in 3": lambda v, size: shuffled(v, size, 3),
    "is dealt to 2": lambda v, size: dealt(v, size, 2),
    "counts modulo 2": lambda v, size: v % 2,
    "is halved": lambda v, size: v // 2,
    "is doubled": lambda v, size: 2 * v,
    "has its pairs exchanged": lambda v, size: np.where((v ^ 1) < size, v ^ 1, v),
    "has the first two exchanged": lambda v, size: np.where(v < min(2, size), min(2, size) - 1 - v, v),
}


def index_map(draw):
    """Another image, plane, filter, response, tap or pixel of one array."""
    array = draw.one(draw.arrays())
    outer = len(PARTS[array])
    position = draw.one(range(outer + (draw.axes if array != "b" else 0)))
    how = draw.one(MAPS_OF)
    every = position >= outer and draw.chance(0.35)
    positions = range(outer, outer + draw.axes) if every else (position,)

    def change(nest):
        sizes = nest.shape_of(array)
        for each in positions:
            nest.index[array][each] = MAPS_OF[how](nest.index[array][each], sizes[each])

    text = f"every axis of {'S' if array == 'G' else array}" if every else part(array, position)
    return Mistake(MAPS, f"{array}{position}", f"{text} {how}", change)


def turned(draw):
    """Taps or responses in reversed order: what a rotation left out, or one too many, does."""
    if draw.result == "db":
        return None
    array = draw.one("FFFGX")
    axes = draw.some_axes()

    def change(nest):
        for axis in axes:
            nest.index[array][2 + axis] = nest.shape_of(array)[2 + axis] - 1 - nest.index[array][2 + axis]

    return Mistake(
        MAPS, f"turned {array}", f"{'S' if array == 'G' else array} is turned over on {on(axes, draw.axes)}", change
    )


OUT_OF_RANGE = {
    "skipped": lambda v, size: v,
    "at most the last": lambda v, size: np.minimum(v, size - 1),
    "counted modulo the size": lambda v, size: v % max(1, size),
}


def exchanged(draw):
    """Two indices of one array exchanged."""
    array = draw.one([each for each in draw.arrays() if each != "b"])
    spatial = draw.axes > 1 and draw.chance(0.7)
    first, second = sorted(
        draw.rng.choice(range(2, 2 + draw.axes) if spatial else 2 + draw.axes, 2, replace=False).tolist()
    )
    how = draw.one(OUT_OF_RANGE)

    def change(nest):
        index, sizes = nest.index[array], nest.shape_of(array)
        pair = index[second], index[first]
        index[first], index[second] = (
            OUT_OF_RANGE[how](v, sizes[at]) for v, at in zip(pair, (first, second), strict=True)
        )

    text = f"{part(array, first)} and {part(array, second)} are exchanged, beyond the range {how}"
    return Mistake(MAPS, f"exchanged {array}", text, change)


def borrowed(draw):
    """The variable of another loop as an index."""
    array = draw.one([each for each in draw.arrays() if each != "b"] or ["G"])
    position, variable = draw.one(range(2 + draw.axes)), draw.one(draw.variables())
    how = draw.one(OUT_OF_RANGE)

    def change(nest):
        size = nest.shape_of(array)[position]
        nest.index[array][position] = OUT_OF_RANGE[how](nest.at[variable], size)

    text = f"{part(array, position)} is {say(variable)}, beyond the range {how}"
    return Mistake(MAPS, f"{array}{position}", text, change)


GROUP_RULES = {
    "group 0 for all": lambda z, i: 0 * i,
    "the last group for all": lambda z, i: 0 * i + z.groups - 1,
    "filters interleaved over the groups": lambda z, i: i % z.groups,
    "groups reversed": lambda z, i: z.groups - 1 - i // z.filters,
    "the next group": lambda z, i: (i // z.filters + 1) % z.groups,
    "i ÷ groups": lambda z, i: np.minimum(i // z.groups, z.groups - 1),
}


def group_planes(draw):
    """The planes of another group."""
    if draw.groups == 1 or draw.result == "db":
        return None
    rule = draw.one([*GROUP_RULES, "starts", "interleaved planes"])

    def change(nest):
        z, i, q = nest.sizes, nest.at["i"], nest.at["q"]
        if rule == "starts":
            plane = (i // z.filters * z.filters + q) % (z.groups * z.planes)
        elif rule == "interleaved planes":
            plane = q * z.groups + i // z.filters
        else:
            plane = GROUP_RULES[rule](z, i) * z.planes + q
        nest.index["X"][1] = plane

    words = {
        "starts": "a group starts at its number times the filters of a group",
        "interleaved planes": "planes interleaved over the groups",
    }
    return Mistake(MAPS, "X1", f"planes of X: {words.get(rule, rule)}", change)


def group_filters(draw):
    """The filters, or response maps, of another group."""
    if draw.groups == 1:
        return None
    array = draw.one([each for each in draw.arrays() if each in "FGb"])
    rule = draw.one([*GROUP_RULES, "dealt"])

    def change(nest):
        z, i = nest.sizes, nest.at["i"]
        if rule == "dealt":
            found = i % z.filters * z.groups + i // z.filters
        else:
            found = GROUP_RULES[rule](z, i) * z.filters + i % z.filters
        nest.index[array][1 if array == "G" else 0] = found

    name = "S" if array == "G" else array
    words = {"dealt": "interleaved over the groups"}
    return Mistake(MAPS, f"filters {array}", f"filters of {name}: {words.get(rule, rule)}", change)


# the border -----------------------------------------------------------------------------------------------------------


def reflect(v, size):
    period = max(1, 2 * (size - 1))
    v = v % period
    return np.minimum(v, period - v) if size > 1 else 0 * v


def symmetric(v, size):
    v = v % max(1, 2 * size)
    return np.minimum(v, 2 * size - 1 - v)


FOLDS = {
    "wraps": lambda v, size: v % max(1, size),
    "clamps": lambda v, size: np.clip(v, 0, size - 1),
    "reflects": reflect,
    "is symmetric": symmetric,
    "wraps before the image": lambda v, size: np.where(v < 0, v + size, v),
    "clamps behind the image": lambda v, size: np.minimum(v, size - 1),
}


def border(draw):
    """What stands outside the image is not zero."""
    if draw.result == "db" or not any(map(any, draw.padding)):
        return None
    rule, axes = draw.one(FOLDS), draw.some_axes()

    def change(nest):
        for axis in axes:
            nest.index["X"][2 + axis] = FOLDS[rule](nest.index["X"][2 + axis], nest.shape_of("X")[2 + axis])

    return Mistake(BORDER, "border", f"the border {rule} on {on(axes, draw.axes)}", change)


def pitch(draw):
    """X by flat addresses: rows run on into each other, or are as long as something else."""
    if draw.result == "db" or draw.axes < 2:
        return None
    how = draw.one(("w", "w", "h", "w + 1", "w − 1", "w'", "padded w"))

    def change(nest):
        z, shape, index = nest.sizes, nest.shape_of("X"), nest.index["X"]
        w = shape[-1]
        rows = {"w": w, "h": shape[2], "w + 1": w + 1, "w − 1": w - 1, "w'": z.out[-1], "padded w": z.padded[-1]}[how]
        plane = np.zeros(len(nest.keep), np.int64)
        for axis in range(z.axes - 1):
            plane = plane * shape[2 + axis] + index[2 + axis]
        plane = plane * rows + index[-1]
        inside = (plane >= 0) & (plane < int(np.prod(shape[2:])))
        nest.keep &= inside
        index[2:] = np.unravel_index(np.where(inside, plane, 0), shape[2:]) if inside.any() else index[2:]

    return Mistake(BORDER, "border", f"X is addressed flat, rows {how} apart, within a plane", change)


# orders of flattening -------------------------------------------------------------------------------------------------


def order(draw):
    """An array flattened in another order than it is read in, or the reverse."""
    array = draw.one([each for each in draw.arrays() if each != "b"])
    ndim, inverse = 2 + draw.axes, draw.chance(0.5)
    spatial = tuple(range(2, ndim))
    orders = {
        "with its planes last": (0, *spatial, 1),
        "with its first axis last": (*range(1, ndim), 0),
        "with its first two axes exchanged": (1, 0, *spatial),
        "in column-major order": tuple(reversed(range(ndim))),
        "with its planes in column-major order": (0, 1, *reversed(spatial)),
        "in column-major order of one entry": (0, *reversed(range(1, ndim))),
        "with planes and first axis of the image exchanged": (0, 2, 1, *spatial[1:]),
    }
    how = draw.one(orders)
    axes = orders[how]

    def change(nest):
        shape, flat = nest.shape_of(array), nest.flat(array)
        other = tuple(shape[axis] for axis in axes)
        if not len(flat):
            return
        if inverse:
            moved = np.ravel_multi_index([nest.index[array][axis] for axis in axes], other)
            nest.index[array] = list(np.unravel_index(moved, shape))
        else:
            moved = np.unravel_index(flat, other)
            nest.index[array] = [moved[axes.index(axis)] for axis in range(ndim)]

    name = "S" if array == "G" else array
    return Mistake(ORDERS, array, f"{name} is {'read' if inverse else 'flattened'} {how}", change)


# factors and sums -----------------------------------------------------------------------------------------------------


def ones(draw):
    """A factor that is left out."""
    array = (
        draw.one(FACTORS[draw.result]) if draw.chance(0.4) else FACTORS[draw.result][-1 if draw.result == "dF" else 0]
    )
    if draw.result == "S":
        array = draw.one("XF")

    def change(nest):
        nest.ones.add(array)

    return Mistake(ONES, "ones", f"ones in the place of {array}", change)


def winner(draw):
    """Assigned instead of summed: of each sum, only one step of some loops is left."""
    loops = {
        "filter": ["i"],
        "image": ["n"],
        "plane": ["q"],
        "response": [f"l{axis}" for axis in range(draw.axes)],
        "tap": [f"a{axis}" for axis in range(draw.axes)],
        "row of responses": ["l0"],
        "row of taps": ["a0"],
        "filter and response": ["i", *(f"l{axis}" for axis in range(draw.axes))],
        "image and response": ["n", *(f"l{axis}" for axis in range(draw.axes))],
        "product": draw.variables(),
    }
    own = {
        "S": ("plane", "tap", "row of taps", "product"),
        "dX": ("filter", "response", "tap", "row of responses", "filter and response", "product"),
        "dF": ("image", "response", "row of responses", "image and response", "product"),
        "db": ("image", "response", "image and response", "row of responses"),
    }[draw.result]
    which, last = draw.one(own), draw.chance(0.8)

    def change(nest):
        step = np.zeros(len(nest.coefficient), np.int64)
        for name in loops[which]:
            step = step * max(1, nest.count[name]) + nest.at[name]
        target = nest.flat(TARGET[nest.result])
        best = np.full(int(np.prod(nest.shape)), -1 if last else np.iinfo(np.int64).max)
        (np.maximum if last else np.minimum).at(best, target, step)
        nest.keep &= step == best[target]

    return Mistake(WINNER, "winner", f"only the {'last' if last else 'first'} {which} of each sum is left", change)


# coefficients ---------------------------------------------------------------------------------------------------------

SIZE_FACTORS = {
    "N": lambda z: z.images,
    "h'·w'": lambda z: int(np.prod(z.out)),
    "h'": lambda z: z.out[0],
    "w'": lambda z: z.out[-1],
    "N·h'·w'": lambda z: z.images * int(np.prod(z.out)),
    "taps": lambda z: int(np.prod(z.taps)),
    "taps·planes": lambda z: z.planes * int(np.prod(z.taps)),
    "n": lambda z: z.groups * z.filters,
    "d": lambda z: z.groups * z.planes,
    "groups": lambda z: z.groups,
    "stride": lambda z: int(np.prod(z.stride)),
    "h·w": lambda z: int(np.prod(z.image)),
}
CONSTANTS = {"2": (2, 1), "−1": (-1, 1), "½": (1, 2), "3": (3, 1), "−2": (-2, 1), "¼": (1, 4)}


def constant(draw):
    """A constant factor."""
    which = draw.one(CONSTANTS)
    top, bottom = CONSTANTS[which]
    return Mistake(SCALE, "constant", f"multiplied with {which}", lambda nest: nest.scale.append((top, bottom)))


def size_factor(draw):
    """Divided by a size, or multiplied with one."""
    which, divided = draw.one(SIZE_FACTORS), draw.chance(0.75)

    def change(nest):
        value = SIZE_FACTORS[which](nest.sizes)
        nest.scale.append((1, value) if divided else (value, 1))

    return Mistake(SCALE, "sizes", f"{'divided by' if divided else 'multiplied with'} {which}", change)


def overlap(draw):
    """Divided by, or multiplied with, the number of products that a sum has."""
    if draw.result == "db":
        return None
    divided, axes = draw.chance(0.6), draw.some_axes()

    def change(nest):
        z, counts = nest.sizes, np.ones((), np.int64)
        for axis in range(z.axes):
            l, a = np.indices((z.out[axis], z.taps[axis]))
            pixel = l * z.stride[axis] + a * z.dilation[axis] - z.padding[axis][0]
            keep = (pixel >= 0) & (pixel < z.image[axis])
            which, size = {"S": (l, z.out), "dX": (pixel, z.image), "dF": (a, z.taps)}[nest.result]
            found = np.bincount(which[keep], minlength=size[axis]) if axis in axes else np.ones(size[axis], np.int64)
            counts = counts[..., None] * np.maximum(found, 1)
        counts = fitted_counts(counts, nest.shape[2:])
        nest.scale.append((1, counts) if divided else (counts, 1))

    what = {"S": "taps inside the image", "dX": "windows over the pixel", "dF": "responses that read a pixel"}[
        draw.result
    ]
    text = f"{'divided by' if divided else 'multiplied with'} the number of {what}, of {on(axes, draw.axes)}"
    return Mistake(SCALE, "overlap", text, change)


def fitted_counts(counts, shape):
    found = np.ones(shape, np.int64)
    common = tuple(slice(0, min(sizes)) for sizes in zip(counts.shape, shape, strict=True))
    found[common] = counts[common]
    return found


# added terms ----------------------------------------------------------------------------------------------------------


def put(result, array, amount):
    """Add an array to the common part of a result."""
    if result.ndim == array.ndim:
        common = tuple(slice(0, min(sizes)) for sizes in zip(result.shape, array.shape, strict=True))
        result = result.astype(np.result_type(result, array[common] * amount))
        result[common] += array[common] * amount
    return result


def added(draw):
    """Something that is no product."""
    choices = {
        "S": ("X", "1"),
        "dX": ("X", "G", "1"),
        "dF": ("F", "F", "F", "1"),
        "db": ("b", "b", "1"),
    }[draw.result]
    what, amount = draw.one(choices), draw.one((1, 2, -1, 0.5, 0.25))

    def change(nest):
        def add(result, arrays, sizes, absolute):
            factor = abs(amount) if absolute else amount
            return result + factor if what == "1" else put(result, arrays[what], factor)

        nest.added.append(add)

    return Mistake(ADDED, "added", f"{amount}·{what} is added" if what != "1" else f"{amount} is added", change)


BIASES = {
    "left out": lambda b, shape: None,
    "added twice": lambda b, shape: along(2 * b, 1, shape),
    "subtracted": lambda b, shape: along(-b, 1, shape),
    "the first for all": lambda b, shape: along(b[:1].repeat(len(b)), 1, shape),
    "the last for all": lambda b, shape: along(b[-1:].repeat(len(b)), 1, shape),
    "the sum for all": lambda b, shape: along(b.sum(keepdims=True).repeat(len(b)), 1, shape),
    "reversed": lambda b, shape: along(b[::-1], 1, shape),
    "of the next filter": lambda b, shape: along(np.roll(b, -1), 1, shape),
    "along the last axis": lambda b, shape: along(b, -1, shape),
    "along the first axis of a map": lambda b, shape: along(b, 2, shape),
    "along the images": lambda b, shape: along(b, 0, shape),
    "added at the first response alone": lambda b, shape: along(b, 1, shape) * (np.indices(shape)[2:].sum(axis=0) == 0),
    "added to the first image alone": lambda b, shape: along(b, 1, shape) * (np.indices(shape)[0] == 0),
}


def along(b, axis, shape):
    """The bias along an axis of S, counted modulo its number."""
    index = np.indices(shape)[axis] % len(b)
    return b[index]


def bias(draw):
    """The bias in another place, or number."""
    if draw.result != "S" or not draw.bias:
        return None
    how = draw.one([*BIASES, "per tap", "per plane"])

    def change(nest):
        z = nest.sizes
        times = {"per tap": int(np.prod(z.taps)), "per plane": z.planes}
        nest.bias = (lambda b, shape: along(times[how] * b, 1, shape)) if how in times else BIASES[how]

    return Mistake(ADDED, "bias", f"the bias is {f'added once {how}' if how.startswith('per') else how}", change)


def bias_axes(draw):
    """∂l/∂b summed over other axes."""
    if draw.result != "db":
        return None
    kept = draw.one((0, *range(2, 2 + draw.axes)))

    def change(nest):
        shape = nest.sizes.shapes["G"]
        nest.index["b"], nest.shape = [nest.index["G"][kept]], [shape[kept]]

    return Mistake(MAPS, "b0", f"∂l/∂b keeps axis {kept} of G instead of the filters", change)


# what is done to a result ---------------------------------------------------------------------------------------------

CHANGES = {
    "turned over": np.flip,
    "rolled by 1": lambda array, axis: np.roll(array, 1, axis),
    "rolled by −1": lambda array, axis: np.roll(array, -1, axis),
    "without its last entries": lambda array, axis: array.take(range(max(0, array.shape[axis] - 1)), axis),
    "without its first entries": lambda array, axis: array.take(range(1, max(1, array.shape[axis])), axis),
    "with zeros behind": lambda array, axis: np.pad(array, [(0, int(each == axis)) for each in range(array.ndim)]),
    "with zeros in front": lambda array, axis: np.pad(array, [(int(each == axis), 0) for each in range(array.ndim)]),
    "zero in its last entries": lambda array, axis: zeroed(array, axis, -1),
    "zero in its first entries": lambda array, axis: zeroed(array, axis, 0),
    "summed up along the way": np.cumsum,
    "the last entries of it everywhere": lambda array, axis: np.broadcast_to(
        array.take([-1], axis) if array.shape[axis] else array, array.shape
    ),
}


def zeroed(array, axis, at):
    array = array.copy()
    if array.shape[axis]:
        array[(slice(None),) * axis + (at,)] = 0
    return array


def after(draw):
    """A right array, badly put together."""
    axis = 0 if draw.result == "db" else draw.one(range(2 + draw.axes))
    how = draw.one(CHANGES)
    what = part(TARGET[draw.result], axis) if draw.result != "S" else part("G", axis)
    return Mistake(
        AFTER,
        f"after {axis}",
        f"the result is {how}, along: {what}",
        lambda nest: nest.after.append(lambda array: CHANGES[how](array, axis)),
    )


def transposed(draw):
    """A result with two axes exchanged, in that shape or pressed into the right one."""
    if draw.result == "db":
        return None
    first, second = sorted(draw.rng.choice(2 + draw.axes, 2, replace=False).tolist())
    pressed = draw.chance(0.5)

    def change(nest):
        def turn(array):
            moved = np.swapaxes(array, first, second)
            return moved.reshape(array.shape) if pressed else moved

        nest.after.append(turn)

    text = f"axes {first} and {second} of the result are exchanged" + (
        ", pressed into the right shape" if pressed else ""
    )
    return Mistake(AFTER, "transposed", text, change)


def unsummed(draw):
    """∂l/∂F of every image by itself."""
    if draw.result not in {"dF", "db"}:
        return None

    def change(nest):
        nest.index[TARGET[nest.result]].insert(0, nest.at["n"])
        nest.shape.insert(0, nest.sizes.images)

    return Mistake(WINNER, "winner", "the images are not summed: the result has a batch axis", change)


# Each family with its weight.
FAMILIES = {
    steps: 3,
    steps_exchanged: 2,
    offset: 4,
    padding: 3,
    result_size: 3,
    loop_size: 2,
    further: 1.5,
    repeated: 1,
    lost: 4,
    doubled: 1,
    triangle: 0.5,
    remainder: 3,
    positions_remainder: 0.7,
    index_map: 6,
    turned: 4,
    exchanged: 3,
    borrowed: 1,
    group_planes: 3,
    group_filters: 2,
    border: 3,
    pitch: 0.5,
    order: 3,
    ones: 1.5,
    winner: 3,
    constant: 1.5,
    size_factor: 2,
    overlap: 1.5,
    added: 2,
    bias: 12,
    bias_axes: 1,
    after: 1.5,
    transposed: 1,
    unsummed: 0.3,
}


def mistake(draw):
    """Draw one mistake."""
    families, weights = zip(*FAMILIES.items(), strict=True)
    chances = np.array(weights) / sum(weights)
    while True:
        family = families[int(draw.rng.choice(len(families), p=chances))]
        found = family(draw)
        if found is not None:
            return replace(found, family=family.__name__)
