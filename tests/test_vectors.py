"""Test vectors: right in every case, wrong for every mistake, as their schema says, and exact in half precision."""

import copy
import dataclasses
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jacobians import Geometry, bias_gradient, convolve, filter_gradient, input_gradient
from jacobians import vectors as module
from jacobians.audit.curriculum import curriculum
from jacobians.errors import ShapeError
from jacobians.formula.atoms import ATOMS
from jacobians.formula.mistakes import mistakes
from jacobians.formula.structure import Structure, right, with_bias
from jacobians.formula.words import explain
from jacobians.vectors import LAYERS, schema, text, vectors
from tests import oracle, table
from tests.convolutions import Im2col, Layer
from tests.test_audit_bugs import BUGS
from tests.test_cli import run
from tests.zoo import mistakes as zoo
from tests.zoo.programs import Program

OPTIONS = [
    {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    {"stride": (3, 2), "padding": ((2, 1), (0, 2)), "dilation": (1, 3), "groups": 3},
]
RESULTS = ("S", "dX", "dF", "db")
# What they do is wrong besides the numbers that they return, or for other numbers than small integers.
CONDUCT = {
    "contiguous_only",
    "short_count",
    "shared_buffer",
    "stale_cache",
    "in_place",
    "swallowed_nan",
    "dense_matrix",
    "low_precision",
    "integer_buffer",
    "wrong_dtype",
    "wrapped",
}


@pytest.fixture(scope="module")
def groups():
    return [module._group(module._options(each, 2), 0) for each in OPTIONS]


@pytest.fixture(scope="module")
def found(groups):
    return module._record(groups, 0)


@pytest.fixture(scope="module")
def cases(found):
    """The file as a consumer reads it."""
    return json.loads(text(found))["cases"]


def arrays(case, dtype=np.float64):
    return {name: np.array(case[name], dtype) for name in ("X", "F", "b", "G", *RESULTS)}


def fails(case, forward=None, backward=None, *, bias=True):
    """Whether code returns something else than the case says, or raises."""
    A = arrays(case)
    given = (A["X"], A["F"], A["b"]) if bias else (A["X"], A["F"])
    S = A["S"] if bias else A["S"] - A["b"][:, None, None]
    wanted = [S] if forward else []
    wanted += [A[name] for name in (("dX", "dF", "db") if bias else ("dX", "dF"))] if backward else []
    try:
        got = ([forward(*given)] if forward else []) + (list(backward(*given, A["G"])) if backward else [])
    except Exception:  # whatever wrong code raises
        return True
    return any(not np.array_equal(one, other) for one, other in zip(got, wanted, strict=True))


def options_of(case):
    names = ("stride", "padding", "dilation", "groups")
    return {name: case["geometry"][name] for name in names}


@pytest.mark.parametrize("kind", [Layer, Im2col])
def test_right_code_fails_no_case(cases, kind):
    for case in cases:
        layer = kind(**options_of(case))
        assert not fails(case, layer.forward, layer.backward)


def test_what_is_right_is_what_the_triple_sum_gives(cases):
    for case in cases[::5]:
        geometry, A = Geometry(**case["geometry"]), arrays(case, np.int64)
        plain = oracle.plain(geometry)
        for image, X in enumerate(A["X"]):
            oracle.assert_same(A["S"][image] - A["b"][:, None, None], oracle.convolve(X, A["F"], **plain))
            oracle.assert_same(A["dX"][image], oracle.input_gradient(A["G"][image], A["F"], **plain))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_case_is_exact_in_half_precision(cases, dtype):
    for case in cases:
        geometry, A = Geometry(**case["geometry"]), arrays(case, dtype)
        sums = [
            np.stack([convolve(X, A["F"], geometry, bias=A["b"]) for X in A["X"]]),
            np.stack([input_gradient(G, A["F"], geometry) for G in A["G"]]),
            np.add.reduce([filter_gradient(X, G, geometry) for X, G in zip(A["X"], A["G"], strict=True)]),
            np.add.reduce([bias_gradient(G) for G in A["G"]]),
        ]
        for name, got in zip(RESULTS, sums, strict=True):
            assert got.dtype == dtype
            assert np.array_equal(got, A[name])


def test_sums_of_magnitudes_are_integers_that_half_precision_holds(cases):
    for case in cases:
        layer, A = Layer(**options_of(case)), {name: np.abs(each) for name, each in arrays(case).items()}
        S, gradients = layer.forward(A["X"], A["F"], A["b"]), layer.backward(A["X"], A["F"], A["b"], A["G"])
        assert max(each.max() for each in (S, *gradients)) <= 2**11


def test_cases_catch_something_and_hide_nothing_behind_zeros(found):
    assert all(len(LAYERS) - 2 <= len(group["cases"]) <= len(LAYERS) for group in found["groups"])
    for case in found["cases"]:
        assert case["catches"]
        assert all(each.all() for name, each in arrays(case).items() if name in "XFbG" and each.size <= 6)


def test_the_smallest_set_catches_all_that_any_case_does(groups, found):
    tests = [(group, test) for group in groups for test in group.tests]
    names = dict.fromkeys(name for group in groups for name in group.mistakes)
    chosen = [at - 1 for at in found["smallest"]]

    def caught(name, places):
        return any(
            name in group.mistakes and test.shows(group.mistakes[name]) for group, test in (tests[at] for at in places)
        )

    everywhere = range(len(tests))
    for name in list(names)[::60]:
        assert caught(name, everywhere) == caught(name, chosen), name


def test_the_fewest_columns_are_found():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = rng.random((9, 8)) < 0.3
        rows = rows[rows.any(axis=1)]
        chosen = module._cover(rows, rng.dirichlet(np.ones(8)))
        fewest = next(
            count
            for count in range(1, 9)
            for some in itertools.combinations(range(8), count)
            if rows[:, some].any(axis=1).all()
        )
        assert rows[:, chosen].any(axis=1).all()
        assert len(chosen) == fewest


def test_what_no_case_catches_is_not_wrong_at_other_layers_either(groups):
    """But for blocks of more groups than there are."""
    for group, each in zip(groups, OPTIONS, strict=True):
        options = module._options(each, 2)
        formulas = {result: module._right(result, options) for result in RESULTS}
        left = [group.mistakes[name] for name in group.missed if not re.search(r"\.g: .* (3|32)\b", name)]
        for case in [case for case in curriculum(options) if case.several][::3]:
            test = module._test(case, options, formulas, 1)
            assert [each.name for each in left if test.shows(each)] == []


# mistakes -------------------------------------------------------------------------------------------------------------


def test_a_mistake_is_the_kind_that_the_words_say():
    distinct = Geometry(
        (3, 90, 91), (6, 1, 2, 3), stride=(7, 5), padding=((4, 10), (9, 14)), dilation=(3, 11), groups=3
    )
    structure = Structure(2, 3)
    for result in RESULTS:
        formula = right(result, structure, distinct)
        formula = with_bias(formula, structure) if result == "S" else formula
        made = list(mistakes(formula))
        assert len({each.name for each in made}) == len(made)
        for each in made[::11]:
            assert explain(each.formula, formula).atoms == (each.atom,), each.name


def test_every_kind_is_explained(found):
    kinds = {kind for case in found["cases"] for kind in case["catches"]}
    assert found["mistakes"].keys() == kinds
    assert {kind.partition("/")[2] for kind in kinds} <= ATOMS.keys()
    assert len(kinds) > 120


def test_every_mistake_of_the_zoo_that_matters_fails_a_case(cases):
    by_group = {name: list(some) for name, some in itertools.groupby(cases, lambda case: case["group"])}
    caught = 0
    for seed in range(240):
        some = list(by_group.values())[seed // 4 % len(by_group)]
        options = {name: _tuples(each) for name, each in options_of(some[0]).items()}
        result = RESULTS[seed % 4]
        rng = np.random.default_rng(seed)
        made = zoo.mistake(
            zoo.Draw(
                rng,
                result,
                2,
                options["groups"],
                True,
                *(options[name] for name in ("stride", "padding", "dilation")),
            )
        )
        program, plain = (Program(options | {"spatial_ndim": 2, "bias": True}, result, each) for each in ((made,), ()))
        if any(_differs(program.value(A), A[result]) for A in map(arrays, some)):
            caught += 1
            continue
        layers = [layer for kind in ("small", "large") for layer in program.layers(kind)]
        assert all(not _differs(program.value(layer.draw()), plain.value(layer.draw())) for layer in layers), made.text
    assert caught > 200


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _differs(one, other):
    return one.shape != other.shape or not np.array_equal(one, other)


def test_every_bug_of_published_code_fails_a_case():
    tests, missed = {}, set()
    wrong = [(bug.name, bug.forward, bug.backward, bug.bias, bug.options) for bug in BUGS]
    for name, each in table.mistakes.MISTAKES.items():
        wrong.append((name, *each.calls(), each.bias, dataclasses.asdict(each.layer)))
    for name, forward, backward, bias, given in wrong:
        options = module._options(given, 2)
        if options.name not in tests:
            formulas = {result: module._right(result, options) for result in RESULTS}
            some = [module._test(case, options, formulas, 0) for case in module._cases(options)]
            tests[options.name] = [json.loads(json.dumps(each.record(options))) for each in some]
        if not any(fails(case, forward, backward, bias=bias) for case in tests[options.name]):
            missed.add(name)
    assert missed == CONDUCT


# the file -------------------------------------------------------------------------------------------------------------


def test_the_file_is_as_its_schema_says(found):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema, which validates, is not installed")
    plain = json.loads(schema())
    validator = jsonschema.validators.validator_for(plain)
    validator.check_schema(plain)
    valid = json.loads(text(found))
    validator(plain).validate(valid)
    for change in (
        lambda each: each["cases"][0].pop("dX"),
        lambda each: each["cases"][0]["X"].append(0.5),
        lambda each: each["cases"][0]["catches"].append("dX: turned"),
        lambda each: each.update(dtype="float8"),
    ):
        wrong = valid | {"cases": copy.deepcopy(valid["cases"][:1])}
        change(wrong)
        assert not validator(plain).is_valid(wrong)


def test_the_schema_names_all_that_the_file_has(found):
    plain, read = json.loads(schema()), json.loads(text(found))
    assert plain["properties"].keys() == read.keys()
    assert read["$schema"] == plain["$id"]
    for name, one in (("cases", read["cases"][0]), ("groups", read["groups"][0])):
        assert plain["properties"][name]["items"]["properties"].keys() == one.keys()
    assert {each["id"] for each in read["cases"]} == {at for group in read["groups"] for at in group["cases"]}


def test_the_command_writes_them(capsys, monkeypatch, tmp_path):
    file = tmp_path / "vectors.json"
    arguments = ["--axes", "1", "--stride", "2", "--padding", "1:0", "-o", str(file)]
    status, out, _ = run(capsys, monkeypatch, "vectors", *arguments)
    read = json.loads(file.read_text("utf-8"))
    assert status == 0
    assert f"{len(read['cases'])} cases" in out
    assert {case["group"] for case in read["cases"]} == {read["groups"][0]["name"]}
    case = read["cases"][2]
    geometry = Geometry(**case["geometry"])
    S = np.stack([convolve(np.array(X), np.array(case["F"]), geometry, bias=case["b"]) for X in case["X"]])
    assert S.tolist() == case["S"]


def test_the_command_writes_the_schema(capsys, monkeypatch, tmp_path):
    file = tmp_path / "schema.json"
    assert run(capsys, monkeypatch, "vectors", "--schema", "-o", str(file))[0] == 0
    assert file.read_text("utf-8") == schema()


# A convolution in JavaScript on nested lists, as the consumer of the documentation imports it.
CONVOLUTION = """
const zeros = (A) => (Array.isArray(A) ? A.map(zeros) : 0);
function visit(X, F, G, { stride, padding, dilation, groups }, add) {
  G.forEach((maps, n) => maps.forEach((map, i) => map.forEach((row, l) => row.forEach((_, m) =>
    F[i].forEach((plane, q) => plane.forEach((taps, a) => taps.forEach((_, b) => {
      const k = Math.floor(i / (F.length / groups)) * F[0].length + q;
      const y = stride[0] * l + dilation[0] * a - padding[0][0], x = stride[1] * m + dilation[1] * b - padding[1][0];
      if (X[n][k][y]?.[x] !== undefined) add(n, i, l, m, k, y, x, q, a, b);
    })))))));
}
const out = (size, k, { stride, padding, dilation }, axis) =>
  Math.floor((size + padding[axis][0] + padding[axis][1] - dilation[axis] * (k - 1) - 1) / stride[axis]) + 1;
export function forward(X, F, bias, options) {
  const h = out(X[0][0].length, F[0][0].length, options, 0), w = out(X[0][0][0].length, F[0][0][0].length, options, 1);
  const S = X.map(() => F.map((_, i) => Array.from({ length: h }, () => Array(w).fill(bias[i]))));
  visit(X, F, S, options, (n, i, l, m, k, y, x, q, a, b) => { S[n][i][l][m] += X[n][k][y][x] * F[i][q][a][b]; });
  return S;
}
export function backward(X, F, bias, G, options) {
  const dX = zeros(X), dF = zeros(F);
  visit(X, F, G, options, (n, i, l, m, k, y, x, q, a, b) => {
    dX[n][k][y][x] += G[n][i][l][m] * F[i][q][a][b];
    dF[i][q][a][b] += G[n][i][l][m] * X[n][k][y][x];
  });
  return { dX, dF, db: F.map((_, i) => G.flatMap((maps) => maps[i]).flat().reduce((one, other) => one + other, 0)) };
}
"""


def test_the_consumer_in_javascript_passes_right_code_and_names_the_mistake(found, tmp_path):
    node = shutil.which("node") or pytest.skip("there is no node here to run the documentation's consumer with")
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "test-vectors.md").read_text("utf-8")
    (tmp_path / "check.mjs").write_text(re.search(r"```javascript\n(.*?)```", page, re.DOTALL)[1], "utf-8")
    (tmp_path / "vectors.json").write_text(text(found), "utf-8")

    def checked(source):
        (tmp_path / "conv.mjs").write_text(source, "utf-8")
        return subprocess.run(
            [node, "check.mjs", "vectors.json"], check=False, cwd=tmp_path, capture_output=True, text=True
        )

    right = checked(CONVOLUTION)
    assert (right.returncode, right.stdout, right.stderr) == (0, "", "")
    turned = "F[i][q][F[0][0].length - 1 - a][F[0][0][0].length - 1 - b];\n    dF"
    wrong = checked(CONVOLUTION.replace("F[i][q][a][b];\n    dF", turned))
    assert wrong.returncode == 1
    first = wrong.stdout.partition("\ncase ")[0]
    assert "dX wrong" in first
    assert "the filter is not flipped along <axes>" in first


def test_padding_may_depend_on_the_filter():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema, which validates, is not installed")
    record = json.loads(text(vectors([{"padding": "same", "dilation": 2}], spatial_ndim=1)))
    jsonschema.validate(record, json.loads(schema()))
    assert record["groups"][0]["padding"] == "same"
    pads = {tuple(case["geometry"]["padding"][0]) for case in record["cases"]}
    assert {(0, 0), (1, 1), (2, 2)} <= pads
    one_further = []
    for case in record["cases"]:
        A, options = arrays(case, np.int64), case["geometry"]
        geometry = Geometry(**options)
        for X, G, S, dX in zip(A["X"], A["G"], A["S"], A["dX"], strict=True):
            np.testing.assert_array_equal(convolve(X, A["F"], geometry, bias=A["b"]), S)
            np.testing.assert_array_equal(input_gradient(G, A["F"], geometry), dX)
            (before, after) = options["padding"][0]
            if before:
                other = Geometry(**options | {"padding": [[before - 1, after + 1]]})
                one_further.append(np.array_equal(convolve(X, A["F"], other, bias=A["b"]), S))
    assert one_further
    assert not all(one_further)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ([{"padding": "same-tf"}], ValueError, "padding is 'same-tf', which depends on the image"),
        ([{"stride": 0}], ShapeError, "stride is 0; it needs an integer of at least 1"),
    ],
)
def test_options_that_make_no_vectors_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        vectors(options)
