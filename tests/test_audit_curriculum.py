"""Which layers an audit tries, and which it leaves out."""

import itertools

import pytest

from jacobians import Geometry
from jacobians.audit import curriculum, numbers
from jacobians.audit.cases import Case, Only, options

NONE = (0, 0, 0)


def options_of(spatial_ndim=2, *, stride=1, padding=0, dilation=1, groups=1, dtype="float64", only=None):
    return options(stride, padding, dilation, groups, spatial_ndim, bias=True, dtype=dtype, only=only)


def products(case):
    return case.images * case.geometry.groups * case.geometry.positions * case.geometry.taps


# all of them ----------------------------------------------------------------------------------------------------------

STEPS = {"stride": 3, "padding": 1, "dilation": 2}


@pytest.mark.parametrize(
    ("axes", "given", "layers", "entries", "multiplied"),
    [
        (1, {}, 66, 7724, 3022),
        (1, STEPS, 68, 12427, 3742),
        (1, {"dtype": "bfloat16"}, 56, 3767, 1595),
        (2, {}, 78, 14547, 9154),
        (2, STEPS, 77, 49064, 14405),
        (2, {"dtype": "bfloat16"}, 65, 6668, 4192),
        (3, {}, 85, 26844, 19376),
        (3, STEPS, 77, 155123, 35557),
        (3, {"dtype": "bfloat16"}, 71, 9811, 9380),
        # A step that is longer than every tail of the tables.
        (3, {"stride": 4}, 90, 142615, 15272),
    ],
)
def test_what_a_default_audit_tries_changes_on_purpose_only(axes, given, layers, entries, multiplied):
    """Layers, numbers and products of all of them: every size of the tables is in these sums."""
    cases = curriculum.curriculum(options_of(axes, **given))
    found = len(cases), sum(case.numbers for case in cases), sum(map(products, cases))
    assert found == (layers, entries, multiplied)
    assert list(cases) == sorted(cases, key=lambda case: case.numbers)
    assert len(set(cases)) == len(cases)


FIRST = {
    "several pixels": (lambda c, g: g.pixels > 1, "X 1×1×1×2, F 1×1×1×1"),
    "several taps": (lambda c, g: g.taps > 1, "X 1×1×1×2, F 1×1×1×2"),
    "several planes": (lambda c, g: g.image[0] > 1, "X 1×2×1×1, F 1×2×1×1"),
    "several filters": (lambda c, g: g.filters[0] > 1, "X 1×1×1×1, F 2×1×1×1"),
    "several images": (lambda c, g: c.images > 1, "X 2×1×1×2, F 1×1×1×1"),
    "several planes and filters": (lambda c, g: min(g.filters[:2]) > 1, "X 1×2×1×1, F 2×2×1×1"),
    "unlike planes and filters": (lambda c, g: 1 < g.filters[1] != g.filters[0] > 1, "X 2×2×1×1, F 3×2×1×1"),
    "rows alone": (lambda c, g: g.filters[2] > 1 == g.filters[3], "X 1×1×3×1, F 1×1×2×1"),
    "columns alone": (lambda c, g: g.filters[2] == 1 < g.filters[3], "X 1×1×1×2, F 1×1×1×2"),
    "taps on both axes": (lambda c, g: min(g.filters[2:]) > 1, "X 1×1×3×3, F 1×1×2×3"),
    "unlike responses": (lambda c, g: 1 < g.responses[1] != g.responses[2] > 1, "X 1×1×3×4, F 1×1×2×2"),
    "several of everything": (lambda c, g: c.several, "X 5×2×2×2, F 3×2×1×2"),
    "large filters": (lambda c, g: g.filters[2] > 10, "X 1×1×12×9, F 1×1×11×8"),
    "filters as large as the image": (lambda c, g: g.filters[1:] == g.image, "X 1×1×1×1, F 1×1×1×1"),
    "more than 64 columns": (lambda c, g: g.responses[2] > 64, "X 1×1×2×65, F 1×1×1×1"),
    "more than 256 planes": (lambda c, g: g.image[0] > 256, "X 1×257×2×2, F 1×257×1×1"),
    "more than 256 filters": (lambda c, g: g.filters[0] > 256, "X 1×1×2×2, F 257×1×1×1"),
    "more than 32 images": (lambda c, g: c.images > 32, "X 33×1×2×2, F 2×1×1×1"),
}


@pytest.mark.parametrize("circumstance", FIRST)
def test_the_smallest_layer_of_each_circumstance(circumstance):
    holds, sizes = FIRST[circumstance]
    first = next(case for case in curriculum.curriculum(options_of()) if holds(case, case.geometry))
    assert str(first).startswith(f"{sizes}, stride")


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_width_next_to_a_tile_comes_up_with_every_remainder_of_a_stride(axes):
    layers = [case.geometry for case in curriculum.curriculum(options_of(axes, stride=3, padding=1))]
    for width in (4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65):
        assert any(layer.responses[-1] == width for layer in layers)
    for tile in (4, 8, 16):
        assert {layer.tail[-1] for layer in layers if layer.responses[-1] > tile} == {0, 1, 2}
    for axis in range(axes):
        assert {layer.tail[axis] for layer in layers} >= ({0, 1} if 0 < axis < axes - 1 else {0, 1, 2})


def test_filters_that_cover_the_image_and_its_padding():
    texts = [str(case) for case in curriculum.curriculum(options_of(padding=2))]
    assert "X 1×1×1×1, F 1×1×5×5, stride 1, padding 2" in texts
    assert "X 2×2×1×1, F 3×2×5×5, stride 1, padding 2" in texts
    texts = [str(case) for case in curriculum.curriculum(options_of(padding=2, dilation=3))]
    assert "X 1×1×3×3, F 1×1×3×3, stride 1, padding 2, dilation 3" in texts


# how they are made ----------------------------------------------------------------------------------------------------


def test_shapes_are_made_of_the_first_axis_the_axes_between_and_the_last():
    shape = (2, 3, 4, (5, 1, 2), (3, 2, 4), (1, 0, 2))
    sizes = [str(curriculum.shaped(options_of(axes, stride=3), shape)).partition(", stride")[0] for axes in (1, 2, 3)]
    assert sizes == ["X 2×3×13, F 4×3×2", "X 2×3×12×13, F 4×3×5×2", "X 2×3×12×4×13, F 4×3×5×1×2"]
    assert curriculum.shaped(options_of(padding=3), (1, 1, 1, (1, 1, 1), (1, 1, 1), NONE)) is None


@pytest.mark.parametrize("taps", [1, 2, 3, 5])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (3, 4, 1), (1, 6, 2), (4, 9, 3)])
def test_a_grown_image_is_larger_than_a_step_and_no_larger_than_that_needs(stride, padding, dilation, taps):
    fixed = options_of(stride=stride, padding=padding, dilation=dilation)
    for count in (1, 2, 7):
        g = curriculum.grown(fixed, (1, 1, 1, (taps, 1, 1), (count, 1, count), NONE)).geometry
        for size, responses, tail in zip(g.image[1:], g.responses[1:], g.tail, strict=True):
            assert size > stride
            assert tail == 0
            assert responses == count or (responses > count and size - stride <= stride)


def test_long_sums_are_tried_where_they_are_not_too_long():
    def taps(count, images=1):
        return Case(Geometry((1, 1, count), (1, 1, 1, count)), images)

    for dtype, most in {"float32": 300, "float16": 64, "bfloat16": 64}.items():
        assert curriculum._is_cheap(taps(most - 1), dtype)
        assert not curriculum._is_cheap(taps(most), dtype)
    assert curriculum._is_cheap(taps(5000), "float64")
    # X, F and S have 20 000 numbers, of which S has one.
    wide = Case(Geometry((1, 1, 9999), (1, 1, 1, 2)), 1)
    assert wide.numbers == 19_999
    assert curriculum._is_cheap(wide, "float64")
    assert curriculum._is_cheap(Case(Geometry((1, 1, 1), (1, 1, 1, 1)), 9999), "float64")
    assert curriculum._is_cheap(Case(Geometry((1, 1, 1), (2, 1, 1, 1)), 6666), "float64")
    wider = Case(Geometry((1, 2, 5000), (1, 1, 1, 1)), 1)
    assert wider.numbers == 20_001
    assert not curriculum._is_cheap(wider, "float64")


# what is left out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        (Case(Geometry((1, 2, 2), (1, 1, 1, 1)), 1), "float64"),
        (Case(Geometry((4, 5, 6), (6, 2, 2, 3), groups=2), 3), "float32"),
        (Case(Geometry((1, 8, 8), (1, 1, 1, 1)), 1), "bfloat16"),
        (Case(Geometry((3, 32, 32), (4, 3, 5, 5)), 2), "bfloat16"),
    ],
    ids=str,
)
def test_work_is_the_numbers_and_products_of_all_draws_that_are_needed(case, dtype):
    miss = numbers.miss_of(case, dtype)
    draws = next(count for count in itertools.count(1) if miss**count <= numbers.TARGET or count == 192)
    assert curriculum._work(case, dtype) == draws * (case.numbers + products(case))


def test_the_most_expensive_layers_are_left_out_but_for_one_with_several_of_everything(monkeypatch):
    cheap, middle = (Case(Geometry((1, 1, size), (1, 1, 1, 1)), 1) for size in (1, 9))
    several, larger = (Case(Geometry((2, 2, size), (2, 2, 1, 2)), 2) for size in (3, 9))
    cases = [larger, cheap, several, middle]
    work = {case: curriculum._work(case, "float64") for case in cases}
    assert work[cheap] < work[middle] < work[several] < work[larger]
    least = work[several] + work[cheap]
    for most, kept in (
        (sum(work.values()), cases),
        (sum(work.values()) - 1, [cheap, several, middle]),
        (least + work[middle], [cheap, several, middle]),
        (least + work[middle] - 1, [cheap, several]),
        (least - 1, [several]),
        (work[several] - 1, []),
    ):
        monkeypatch.setattr(curriculum, "MOST_WORK", most)
        assert curriculum.affordable(cases, "float64") == kept
    monkeypatch.setattr(curriculum, "MOST_WORK", work[cheap])
    assert curriculum.affordable([cheap, middle], "float64") == [cheap]


@pytest.mark.parametrize(("more", "kept"), [(0, 2), (1, 1)])
def test_an_audit_has_at_most_a_hundred_million_numbers_and_products(monkeypatch, more, kept):
    cases = [Case(Geometry((1, 1, size), (1, 1, 1, 1)), 1) for size in (1, 2)]
    monkeypatch.setattr(curriculum, "_work", lambda case, dtype: 50_000_000 + more * (case is cases[1]))
    assert curriculum.affordable(cases, "float64") == cases[:kept]


# layers of their own --------------------------------------------------------------------------------------------------


def texts_of(cases):
    return [str(case).partition(", stride")[0] for case in cases]


def test_many_images_of_as_little_as_there_can_be():
    found = [curriculum.large_batch(fixed, 7) for fixed in (options_of(), options_of(1, padding=3, stride=2))]
    assert texts_of(found) == ["X 7×1×1×1, F 1×1×1×1", "X 7×1×1, F 1×1×1"]
    assert texts_of([curriculum.large_batch(options_of(3), 7)]) == ["X 7×1×1×1×1, F 1×1×1×1×1"]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layers_that_no_audit_has_had(axes):
    fixed = options_of(axes, padding=1)
    found = curriculum.unused(fixed)
    assert [case.images for case in found] == [2, 4, 6, 7]
    tried = curriculum.curriculum(fixed)
    assert {case.images for case in tried}.isdisjoint({4, 6, 7})
    assert found[0].numbers < min(case.numbers for case in found[1:])
    assert found[0] not in tried
    assert found[1].numbers == max(case.numbers for case in found)
    # None where there are not all of them.
    for columns in (2, 13, 3):
        assert curriculum.unused(options_of(axes, only=Only(where=lambda g, n=columns: g.responses[-1] == n))) is None


def test_unused_layers_by_their_sizes():
    assert texts_of(curriculum.unused(options_of())) == [
        "X 2×1×3×3, F 1×1×2×2", "X 4×2×13×14, F 3×2×3×2", "X 6×2×4×4, F 2×2×2×3", "X 7×1×3×4, F 3×1×2×2"
    ]  # fmt: skip
    assert texts_of(curriculum.unused(options_of(3))) == [
        "X 2×1×3×2×3, F 1×1×2×1×2", "X 4×2×13×2×14, F 3×2×3×1×2", "X 6×2×4×2×4, F 2×2×2×1×3", "X 7×1×3×2×4, F 3×1×2×1×2"
    ]  # fmt: skip


def test_small_layers_begin_with_one_of_everything():
    first = texts_of(curriculum.small_cases(options_of()))
    assert first[:8] == [
        "X 1×1×1×1, F 1×1×1×1", "X 1×1×1×1, F 2×1×1×1", "X 1×1×1×2, F 1×1×1×1", "X 1×1×1×2, F 1×1×1×2",
        "X 1×1×2×1, F 1×1×1×1", "X 1×1×2×1, F 1×1×2×1", "X 1×2×1×1, F 1×2×1×1", "X 2×1×1×1, F 1×1×1×1",
    ]  # fmt: skip
    assert len(first) == len(set(first)) == 200


def test_small_layers_of_three_axes_have_one_pixel_and_one_tap_between_the_others():
    one = options_of(3, padding=1, only=Only(planes=1, filters=1))
    layers = [case.geometry for case in curriculum.small_cases(one)]
    assert {layer.filters[2:] for layer in layers} == {
        (first, 1, last) for first, last in itertools.product((1, 2, 3), repeat=2)
    }
    assert {(1, 1, 1), (1, 1, 2), (2, 1, 1), (1, 1, 7), (7, 1, 1)} <= {layer.image[1:] for layer in layers}
    assert {layer.image[2] for layer in layers} == {1}


def test_small_layers_have_up_to_two_of_everything_three_taps_and_seven_pixels():
    cases = curriculum.small_cases(options_of(1))
    assert {(case.images, case.geometry.image[0], case.geometry.filters[0]) for case in cases} == set(
        itertools.product((1, 2), repeat=3)
    )
    sizes = {(case.geometry.filters[2], case.geometry.image[1]) for case in cases}
    assert sizes == {(taps, size) for taps in (1, 2, 3) for size in range(taps, 8)}
    assert len(cases) == 8 * (7 + 6 + 5)
    one = options_of(only=Only(planes=1, filters=1, taps=(1, 1)))
    images = {case.geometry.image[1:] for case in curriculum.small_cases(one)}
    assert images == {(a, b) for a, b in itertools.product(range(1, 8), repeat=2) if a + b <= 9}
    assert len(curriculum.small_cases(one)) == 2 * len(images)


def test_a_rule_of_padding_is_asked_of_filters_and_images_that_there_are():
    asked = set()

    def rule(sizes, taps):
        asked.add((*sizes, *taps))
        return 0

    fixed = options_of(1, padding=rule)
    asked.clear()
    curriculum.small_cases(fixed)
    assert asked == set(itertools.product(range(1, 8), (1, 2, 3)))
    asked.clear()
    list(curriculum.smaller_cases(Case(Geometry((1, 2), (1, 1, 4), padding=1), 1), fixed))
    assert asked == {(1, 3), (2, 3), (2, 2), (2, 1), (1, 4)}


def test_layers_with_one_size_less():
    steps = {"groups": 2, "dilation": (2, 1)}
    case = Case(Geometry((4, 9, 3), (4, 2, 3, 2), **steps), 5)
    assert texts_of(curriculum.smaller_cases(case, options_of(**steps))) == [
        *(f"X {images}×4×9×3, F 4×2×3×2" for images in (1, 2, 3, 4)),
        "X 5×2×9×3, F 4×1×3×2",
        "X 5×4×9×3, F 2×2×3×2",
        # Fewer taps, with as many responses: the image has fewer rows by the dilation.
        "X 5×4×5×3, F 4×2×1×2",
        "X 5×4×7×3, F 4×2×2×2",
        "X 5×4×9×2, F 4×2×3×1",
        # What is left of 9 rows is 5, as no image is lower than a filter, or 8.
        "X 5×4×5×3, F 4×2×3×2",
        "X 5×4×8×3, F 4×2×3×2",
        "X 5×4×9×2, F 4×2×3×2",
    ]
    # A tap less and a response more are as many numbers.
    assert texts_of(curriculum.smaller_cases(Case(Geometry((1, 2), (1, 1, 2)), 1), options_of(1))) == [
        "X 1×1×1, F 1×1×1"
    ]
    # With more planes than responses, the image may stay as it is.
    case = Case(Geometry((1, 1, 2), (9, 1, 1, 2), padding=((0, 0), (0, 1))), 1)
    assert "X 1×1×1×2, F 4×1×1×2" in texts_of(curriculum.smaller_cases(case, options_of(padding=((0, 0), (0, 1)))))
    one = Case(Geometry((1, 1, 1), (1, 1, 1, 1)), 1)
    assert list(curriculum.smaller_cases(one, options_of())) == []
    wide = Case(Geometry((8, 1, 2), (1, 8, 1, 2)), 1)
    fewer_taps = [text for text in texts_of(curriculum.smaller_cases(wide, options_of())) if text.endswith("F 1×8×1×1")]
    assert fewer_taps == ["X 1×8×1×1, F 1×8×1×1", "X 1×8×1×2, F 1×8×1×1"]
