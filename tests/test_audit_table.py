"""Audits of docs/examples/mistakes.py find each mistake, name its cause, and print docs/reference/mistakes.md."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

from jacobians import audit
from jacobians.formula.atoms import ATOMS
from tests.false_alarms import layers
from tests.table import mistakes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "mistakes.md").read_text("utf-8").splitlines()
ROWS = PAGE[PAGE.index(mistakes.HEADER) + 2 :]
ROWS = ROWS[: ROWS.index("")]

# Result, kind of finding, and where it points to: the cause.
NAMED = {
    "true_convolution": ("S", "values", "filter-turned"),
    "planes_last": ("S", "values", "order"),
    "column_major": ("S", "values", "order"),
    "last_plane_wins": ("S", "values", "index-constant"),
    "not_transposed": ("S", "values", "order"),
    "reshaped_by_columns": ("S", "values", "order"),
    "one_bias": ("S", "values", "index-constant"),
    "relu_left_in": ("S", "values", "relu"),
    "first_stride": ("S", "values", "size-off"),
    "dilation_ignored": ("S", "shape", "size-off"),
    "padding_ignored": ("S", "shape", "size-off"),
    "padding_exchanged": ("S", "values", "padding-after"),
    "first_group": ("S", "values", "index-constant"),
    "low_precision": ("S", "precision", "precision"),
    "wrong_dtype": ("S", "dtype", ""),
    "vector_remainder": ("S", "values", "remainder"),
    "vector_garbage": ("S", "values", "remainder"),
    "epsilon": ("S", "values", "small"),
    "integer_buffer": ("S", "values", "small"),
    "short_count": ("S", "large batch", "memory"),
    "contiguous_only": ("S", "memory layout", "memory"),
    "in_place": ("forward", "in place", "memory"),
    "shared_buffer": ("S", "state", "memory"),
    "stale_cache": ("S", "state", "memory"),
    "swallowed_nan": ("S", "not a number", "nan"),
    "dense_matrix": ("S", "not a number", "nan"),
    "rotation_left_out": ("∂l/∂X", "values", "filter-not-rotated"),
    "turned_in_one_axis": ("∂l/∂X", "values", "filter-not-rotated"),
    "upstream_not_transposed": ("∂l/∂X", "values", "order"),
    "reshaped_channels": ("∂l/∂X", "values", "order"),
    "last_filter_wins": ("∂l/∂X", "values", "index-constant"),
    "assigned_taps": ("∂l/∂X", "values", "one-product"),
    "assigned_windows": ("∂l/∂X", "values", "one-product"),
    "not_spread": ("∂l/∂X", "values", "step-ignored"),
    "tail_missing": ("∂l/∂X", "shape", "size-without-tail"),
    "tail_in_front": ("∂l/∂X", "values", "offset"),
    "gradient_without_dilation": ("∂l/∂X", "values", "step-ignored"),
    "stride_and_dilation_exchanged": ("∂l/∂X", "values", "steps-exchanged"),
    "first_upstream": ("∂l/∂X", "values", "index-constant"),
    "padding_kept": ("∂l/∂X", "shape", "size-off"),
    "padding_cut_behind": ("∂l/∂X", "values", "padding-ignored"),
    "never_written": ("∂l/∂X", "not written", "memory"),
    "ones_for_upstream": ("∂l/∂X", "values", "factor-missing"),
    "gradient_of_first_group": ("∂l/∂X", "values", "index-constant"),
    "turned_filter_gradient": ("∂l/∂F", "values", "filter-turned"),
    "filter_gradient_planes_last": ("∂l/∂F", "values", "order"),
    "filter_gradient_uncut": ("∂l/∂F", "shape", "size-off"),
    "filter_gradient_cut_in_front": ("∂l/∂F", "values", "offset"),
    "filter_gradient_not_spread": ("∂l/∂F", "values", "step-ignored"),
    "filter_gradient_without_dilation": ("∂l/∂F", "values", "step-ignored"),
    "last_image_wins": ("∂l/∂F", "values", "index-constant"),
    "mean_of_images": ("∂l/∂F", "values", "size-factor"),
    "weight_decay": ("∂l/∂F", "values", "small"),
    "one_sum": ("∂l/∂b", "values", "index-summed"),
    "mean_of_bias": ("∂l/∂b", "values", "size-factor"),
    "bias_of_wrong_axes": ("∂l/∂b", "shape", "bias-gradient-axis"),
    "true_convolution_throughout": ("S", "values", "filter-turned"),
}
# The result alone.
PARTLY = {
    "transposed_filter": "S",
    "bias_of_columns": "S",
    "bias_per_plane": "S",
    "padding_of_tensorflow": "S",
    "size_rounded_up": "S",
    "interleaved_groups": "S",
    "combination": "S",
    "square_only": "S",
    "padding_minus_zero": "∂l/∂X",
    "padding_clipped": "∂l/∂X",
    "wrong_order": "∂l/∂X",
    "bias_per_image": "∂l/∂b",
}
# Numbers of X, F, G and the result in the case that shows a mistake.
FEW = 40
# What is wrong at few layers, or told from other mistakes by many.
WHOLE = {"bias_of_columns", "vector_remainder", "bias_of_wrong_axes"}
# What is in memory that was never written is another thing in each process.
UNWRITTEN = {"vector_garbage"}

RIGHT = [
    mistakes.Layer(),
    mistakes.Layer(stride=(2, 3), padding=((1, 2), (0, 1)), dilation=(2, 1)),
    mistakes.Layer(stride=(2, 1), padding=((2, 2), (1, 0)), dilation=(1, 2), groups=2),
]


def test_facts_are_of_all_mistakes():
    assert NAMED.keys() | PARTLY.keys() == mistakes.MISTAKES.keys()
    assert NAMED.keys() & PARTLY.keys() == set()


@pytest.mark.parametrize("name", mistakes.MISTAKES)
def test_mistake_is_found_and_its_row_is_what_the_audit_prints(name, request):
    """If the row is another: python docs/examples/mistakes.py docs/reference/mistakes.md."""
    if name not in WHOLE:
        request.getfixturevalue("fewer")
    report = mistakes.MISTAKES[name].audit()
    about = PARTLY[name] if name in PARTLY else NAMED[name][0]
    assert about in {each.about for each in report.findings}
    if name not in UNWRITTEN:
        assert mistakes.MISTAKES[name].row(report) in ROWS
    if name in NAMED.keys() - UNWRITTEN:
        finding = report.findings[0]
        assert (finding.about, finding.kind, finding.anchor) == NAMED[name]
        # A row of the difference of formulas holds at all layers.
        assert finding.kind not in {"values", "shape"} or 0 < sum(map(np.size, finding.arrays.values())) <= FEW, (
            finding.case
        )
        assert finding.anchor not in ATOMS or (finding.formula != finding.right and 0 < finding.predicts == finding.of)


def test_page_lists_those_whose_cause_is_not_named():
    listed = [
        line for line in PAGE[PAGE.index("## Where the cause is not named { #partly }") :] if line.startswith("- ")
    ]
    assert len(listed) == len(PARTLY)
    assert all(any(line.startswith(f"- {mistakes.MISTAKES[name].words}: ") for line in listed) for name in PARTLY)


def test_table_has_a_row_per_mistake():
    assert len(ROWS) == len(mistakes.MISTAKES)


@pytest.mark.parametrize("layer", RIGHT)
def test_what_the_mistakes_are_derived_from_is_right(layer):
    backwards = [mistakes.backward] if layer.groups > 1 else [mistakes.backward, mistakes.backward_by_convolution]
    for backward in backwards:
        functions = (functools.partial(each, layer=layer) for each in (mistakes.forward, backward))
        options = dataclasses.asdict(layer)
        audit(*functions, geometries=layers(options, 2), **options).check()


def test_script_writes_the_table_into_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{mistakes.HEADER}\n|---|---|\n| old | old |\n\nafter\n", "utf-8")
    mistakes.write(page, f"{mistakes.HEADER}\n|---|---|\n| new | new |\n")
    assert page.read_text("utf-8") == f"before\n\n{mistakes.HEADER}\n|---|---|\n| new | new |\n\nafter\n"
