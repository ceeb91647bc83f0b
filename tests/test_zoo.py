"""The zoo of wrong programs: its right computations are right, and each of its mistakes is one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from jacobians import bias_gradient, convolve, filter_gradient, input_gradient
from tests import oracle
from tests.zoo import Program, programs
from tests.zoo import __main__ as zoo
from tests.zoo.programs import draw_options

RESULTS = ("S", "dX", "dF", "db")


def right(layer, arrays):
    """All results of the layer, image by image, by the package."""
    X, F, b, G = (arrays[letter] for letter in "XFbG")
    return {
        "S": np.stack([convolve(image, F, layer.geometry, bias=b) for image in X]),
        "dX": np.stack([input_gradient(upstream, F, layer.geometry) for upstream in G]),
        "dF": sum(filter_gradient(*pair, layer.geometry) for pair in zip(X, G, strict=True)),
        "db": sum(map(bias_gradient, G)),
    }


def results(program, arrays):
    """All results of a program, by name."""
    X, F, b, G = (arrays[letter] for letter in "XFbG")
    given = (X, F, b) if program.options["bias"] else (X, F)
    return dict(zip(RESULTS, (program.forward(*given), *program.backward(*given, G)), strict=False))


@pytest.mark.parametrize("seed", range(12))
def test_without_a_mistake_a_program_is_right(seed):
    program = Program(draw_options(np.random.default_rng(seed), "db"), "S", ())
    for layer in (*program.layers("small"), *program.layers("large")):
        arrays = layer.draw(seed)
        expected = right(layer, arrays)
        for name, found in results(program, arrays).items():
            oracle.assert_same(found, expected[name])


def test_without_a_mistake_a_program_gives_the_oracles_sums():
    program = Program(draw_options(np.random.default_rng(3), "db"), "S", ())
    for layer in program.layers("small"):
        arrays, plain = layer.draw(), oracle.plain(layer.geometry)
        found = results(program, arrays | {"b": 0 * arrays["b"]})
        for image, X, G in zip(range(layer.images), arrays["X"], arrays["G"], strict=True):
            oracle.assert_same(found["S"][image], oracle.convolve(X, arrays["F"], **plain))
            oracle.assert_same(found["dX"][image], oracle.input_gradient(G, arrays["F"], **plain))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_program_is_wrong_in_its_result_alone(count):
    for seed in range(15):
        program, wrong = programs(count, seed), set()
        assert len(program.mistakes) == count
        for layer in program.layers("small"):
            arrays = layer.draw(seed)
            expected = right(layer, arrays)
            if not program.options["bias"]:
                expected["S"] = np.stack([convolve(X, arrays["F"], layer.geometry) for X in arrays["X"]])
            wrong |= {name for name, found in results(program, arrays).items() if not same(found, expected[name])}
        assert wrong == {program.result}


def same(found, expected):
    return found.shape == expected.shape and np.array_equal(found, expected)


def test_the_same_seed_gives_the_same_program():
    once, again = programs(2, 5), programs(2, 5)
    assert (once.options, once.result, once.mistakes) == (again.options, again.result, again.mistakes)
    arrays = once.layers("large")[0].draw()
    oracle.assert_same(once.value(arrays), again.value(arrays))
    assert len({programs(1, seed).mistakes for seed in range(40)}) > 30


def test_programs_work_at_large_layers_in_every_dtype():
    for seed in range(30):
        program = programs(1 + seed % 3, seed)
        for layer in program.layers("large"):
            arrays = layer.draw(seed)
            value, bound = program.value(arrays), program.magnitude(arrays)
            assert value.shape == bound.shape
            assert np.all(np.abs(value) <= bound)
            as_integers = {name: each.astype(np.int64) for name, each in arrays.items()}
            assert program.value(as_integers).shape == value.shape
            assert program.value({name: each.astype(np.float32) for name, each in arrays.items()}).dtype == np.float32


# what the zoo counts --------------------------------------------------------------------------------------------------


@dataclass
class Foretold:
    """A finding whose formula is a function of the arrays."""

    value: Callable

    def predict(self, geometry, **arrays):
        return self.value(arrays)


def programs_with(family, count=1):
    return next(
        program
        for program in (programs(count, seed) for seed in range(1000))
        if family in {each.family for each in program.made}
    )


@pytest.mark.parametrize("family", ["turned", "size_factor", "winner", "order", "added"])
def test_a_prediction_counts_only_where_it_gives_the_programs_numbers(family):
    program = programs_with(family)
    large = program.layers("large")
    assert list(zoo.misses(Foretold(program.value), program)) == []
    for wrong in (
        Program(program.options, program.result, ()).value,
        lambda arrays: program.value(arrays) * (1 + 1e-9),
        lambda arrays: program.value(arrays)[..., :1],
        lambda arrays: 1 / 0,
    ):
        assert len(list(zoo.misses(Foretold(wrong), program))) == len(large)


def test_rounding_is_allowed_where_a_coefficient_rounds_and_nowhere_else():
    divided = next(
        program for program in map(programs, [1] * 1000, range(1000)) if program.mistakes == ("divided by N·h'·w'",)
    )
    layer = divided.layers("large")[0]
    share = 1 / (layer.images * layer.geometry.positions)
    arrays = layer.draw(1)
    right = Program(divided.options, divided.result, ()).value(arrays)
    assert not np.array_equal(right * share, divided.value(arrays))
    assert np.all(np.abs(right * share - divided.value(arrays)) <= zoo.bound(divided, layer, arrays))
    assert zoo.bound(programs_with("turned"), programs_with("turned").layers("large")[0], arrays) == 0


def test_a_record_tells_what_the_audit_made_of_a_program():
    record = zoo.examined(1, 4)
    assert record["found"] is True
    assert set(zoo.CRITERIA) <= record.keys()


def test_an_audit_that_breaks_off_has_found_nothing(monkeypatch):
    def broken(*functions, **options):
        raise ValueError("no relation")

    monkeypatch.setattr(zoo, "audit", broken)
    record = zoo.examined(1, 4)
    assert not any(record[criterion] for criterion in zoo.CRITERIA)
    assert record["said"].splitlines()[-1] == "ValueError: no relation"
