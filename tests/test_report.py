"""Reports of a verification that are put together by hand: what is read, and in which words."""

import re
from fractions import Fraction

import pytest

from jacobians import Geometry, VerificationError
from jacobians.verify.report import Failure, LayerRow, NetworkReport, Report, Row

LAYER = Geometry((1, 3), (2, 1, 2))
FAILURE = Failure("exact", "the layer", 5, ("triple sum", "convolution"), "S12", "7", "9", 2, 6, LAYER, 1)
STORY = """\
  “convolution” differs from “triple sum” in 2 of 6 entries; the first is
  S12: expected 7
       got      9
  at the layer, exact evidence, seed 5
"""


def row(name, failure=None, worst=None, *, provable=False, **counts):
    return Row(name, f"equation {name}", {key.replace("_", " "): count for key, count in counts.items()}, worst,
               failure, provable)  # fmt: skip


HOLDS = row("L1", symbolic=3, every_size=64, exact=12, bound=2, worst=0.25, provable=True)
FAILS = row("L7", FAILURE, 2.0, exact=1)
UNCHECKED = row("L9", every_size=1, provable=True)
MISS = Fraction(3, 2**70)


def words(html):
    """What is read of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", html)).strip()


def test_the_table_is_read_from_left_to_right_and_then_what_is_wrong():
    report = Report((HOLDS, FAILS, UNCHECKED), 5, 2, MISS)
    table, rest = str(report).split("\n\n", 1)
    assert (
        table
        == """\
                           every
id  equation     symbolic   size  exact  bound  worst  verdict
L1  equation L1         3     64     12      2   0.25  holds
L7  equation L7         –      –      1      –     >1  FAILS
L9  equation L9         –      1      –      –      –  not checked"""
    )
    assert rest.endswith(f"✗ L7 does not hold: equation L7\n{STORY}\nL7 does not hold (seed 5).")
    page = words(report._repr_html_())
    assert "L1 equation L1 3 64 12 2 0.25 ✓ holds L7 equation L7 – – 1 – &gt;1 ✗ FAILS L9" in page
    assert page.endswith("✗ L7 does not hold (seed 5).")
    assert words(Report((HOLDS,), 5, 2, MISS)._repr_html_()).rpartition(" ✓ ")[2].startswith("1 equation holds at 2")


def test_a_row_that_can_be_proved_says_what_the_proof_needs():
    without = row("L1", exact=2, provable=True)
    assert "islpy" in str(Report((without,), 0, 1, MISS, can_prove=False)).partition("\n\n")[0]
    assert "islpy" not in str(Report((without,), 0, 1, MISS))
    assert "islpy" not in str(Report((row("L4", exact=2),), 0, 1, MISS, can_prove=False))


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ((HOLDS,), {}, ["1 equation holds at 1 layer (seed 5).", "2^-68", "1 equation is proved"]),
        ((HOLDS, HOLDS), {"layers": 2}, ["2 equations hold at 2 layers (seed 5).", "2 equations are proved"]),
        ((HOLDS,), {"layers": 0}, ["1 equation holds (seed 5)."]),
        ((HOLDS, UNCHECKED), {}, ["1 equation holds at 1 layer (seed 5); L9: not checked, no layer allows"]),
        (
            (HOLDS, UNCHECKED, UNCHECKED),
            {"left": 4, "left_out": "Not all."},
            [
                "Interrupted, with 4 pieces of work not done. So far: 1 equation",
                "; L9 and L9: not checked.",
                " Not all.",
            ],
        ),
        ((UNCHECKED,), {}, ["0 equations hold at 1 layer"]),
        ((FAILS, FAILS), {}, ["L7 and L7 do not hold (seed 5)."]),
        ((FAILS, FAILS, FAILS), {}, ["L7, L7 and L7 do not hold"]),
        ((), {}, ["Nothing was checked"]),
    ],
)
def test_the_last_sentences_count(rows, options, said):
    report = Report(rows, **{"seed": 5, "layers": 1, "miss": MISS, **options})
    for each in said:
        assert each in report.conclusion
    assert ("proved" in report.conclusion) == any("every size" in each.counts for each in rows)


def test_only_what_was_checked_whole_and_holds_is_ok():
    right = Report((HOLDS,), 0, 1, MISS)
    assert right.check() is right
    wrong = [Report((), 0, 1, MISS), Report((HOLDS,), 0, 1, MISS, left=1)]
    wrong += [Report((HOLDS, each), 0, 1, MISS) for each in (FAILS, UNCHECKED, row("L2"), row("L2", exact=0))]
    for report in wrong:
        assert not report.ok
        with pytest.raises(VerificationError, match=r"seed 0|Nothing"):
            report.check()
    # Kinds whose names come before and after that of the proofs.
    for kind in ("symbolic", "exact", "bound"):
        assert (row("L1", **{kind: 1}).verdict, row("L1", FAILURE, **{kind: 1}).verdict) == ("holds", "FAILS")
    assert UNCHECKED.verdict == "not checked"
    assert not Row("L1", "", {}, None, None).provable


def test_a_record_holds_what_the_rows_hold():
    record = Report((HOLDS, FAILS), 5, 2, Fraction(1, 2**70)).to_dict()
    assert (record["log2_miss_probability"], record["can_prove"], record["left"]) == (-70, True, 0)
    assert [each["failure"] and each["failure"]["entry"] for each in record["identities"]] == [None, "S12"]
    assert Report((HOLDS,), 5, 2, Fraction(0)).to_dict()["log2_miss_probability"] is None


def layer(*names, done, blocks, failures=(), geometry=LAYER, **counts):
    return LayerRow(names, geometry, 12, counts, done, blocks, failures)


SEVERAL = layer("c1", "c2", "c3", done=1, blocks=1, S=3, G=4)
WRONG = layer(
    "d", geometry=Geometry((2, 4, 4), (2, 2, 3, 3), stride=2, padding=1), done=1, blocks=3, failures=(FAILURE,)
)
NOTHING, PART = layer("e", done=0, blocks=3), layer("f", done=1, blocks=3, S=5)


def network(*rows, layers=7):
    return NetworkReport(rows, 5, layers, Fraction(3, 2**62))


def test_the_table_of_layers():
    report = network(SEVERAL, WRONG, NOTHING, PART)
    table, rest = str(report).split("\n\n", 1)
    assert (
        table
        == """\
layer          image  filters  options              nonzeros  verdict
c1 and 2 more  1×3    2×1×2    –                    1.20e+01  holds
d              2×4×4  2×2×3×3  stride=2, padding=1  1.20e+01  FAILS
e              1×3    2×1×2    –                    1.20e+01  not checked
f              1×3    2×1×2    –                    1.20e+01  1 of 3 blocks"""
    )
    assert rest.endswith(f"✗ d does not hold\n{STORY}\n{report.conclusion}")
    assert report.conclusion == "Ended early, with 7 blocks not done. So far: d does not hold (seed 5)."
    page = words(report._repr_html_())
    assert "c1 and 2 more 1×3 2×1×2 – 1.20e+01 ✓ holds d 2×4×4 2×2×3×3 stride=2, padding=1 1.20e+01 ✗ FAILS e" in page
    assert page.endswith(f"✗ {report.conclusion}")
    assert words(network(SEVERAL)._repr_html_()).endswith(f"✓ {network(SEVERAL).conclusion}")


def test_the_last_sentence_of_layers_counts():
    assert (
        "1 geometry holds at true size, of 1 layer: 12 nonzeros, and 7 comparisons"
        in network(SEVERAL, layers=1).conclusion
    )
    two = network(SEVERAL, SEVERAL).conclusion
    assert "2 geometries hold at true size, of 7 layers: 24 nonzeros, and 14 comparisons" in two
    assert "2^-60," in two
    assert network(PART).conclusion.endswith("2 blocks not done. So far: no layer was checked completely.")
    assert network(WRONG, WRONG).conclusion.endswith("d and d do not hold (seed 5).")
    assert "Nothing was checked" in network().conclusion


def test_only_layers_that_were_checked_whole_and_hold_are_ok():
    assert network(SEVERAL).check().ok
    assert -61 < network(SEVERAL).to_dict()["log2_miss_probability"] < -60
    assert NetworkReport((SEVERAL,), 5, 1, Fraction(0)).to_dict()["log2_miss_probability"] is None
    for wrong in (
        WRONG,
        NOTHING,
        PART,
        layer("g", done=0, blocks=0),
        layer("g", done=2, blocks=2, failures=(FAILURE,)),
    ):
        report = network(SEVERAL, wrong)
        assert not report.ok
        with pytest.raises(VerificationError, match="layer "):
            report.check()
    assert not network().ok


@pytest.mark.parametrize(
    ("report", "width"),
    [
        (Report((row("L9" * 30), UNCHECKED), 5, 2, MISS), 80),
        (network(layer("e" * 80, done=0, blocks=3, geometry=WRONG.geometry)), 100),
    ],
)
def test_tables_are_as_wide_as_a_page(report, width):
    assert max(map(len, str(report).partition("\n\n")[0].splitlines())) == width
