"""The prover, held against counting tuples at many sizes."""

import itertools
import subprocess
import sys
import types
from collections import Counter

import numpy as np
import pytest

from jacobians.formula import prove
from jacobians.formula.prove import Comparison, Piece, Sizes, Space, compare, points

AXIS = Space(("l", "a", "y"), ("h'", "k"), ("h' ≥ 1", "k ≥ 1"))
RANGES = ("0 ≤ l < h'", "0 ≤ a < k")
PLAIN = Piece(("y = l + a", *RANGES))


def counted(pieces, space, sizes, reach=12):
    """Count tuples by trying all values: Python reads the conditions, not the library."""
    found = Counter()
    for piece in pieces:
        names = [*space.indices, *piece.hidden]
        spelt = str.maketrans({"·": "*", "−": "-", "≤": "<=", "≥": ">=", "'": "_"})
        texts = [each.translate(spelt).replace(" = ", " == ").replace(" mod ", " % ") for each in piece.conditions]
        code = compile(" and ".join(f"({text})" for text in texts), "conditions", "eval")
        for values in itertools.product(range(-1, reach), repeat=len(names)):
            known = dict(zip(names, values, strict=True)) | {name.replace("'", "_"): n for name, n in sizes.items()}
            if eval(code, {}, known):
                found[values[: len(space.indices)]] += 1
    return found


def drawn_piece(generator):
    """Draw a relation on two indices and, half of the time, a hidden one, which takes a tuple up to three times."""
    hidden = ("z",) if generator.integers(2) else ()
    c, d = (int(n) for n in generator.integers(-2, 3, 2))
    last = ("m − 1", "n − 1", "m + n − 2", "1")
    ranges = [f"0 ≤ i ≤ {last[generator.integers(4)]}", *(f"0 ≤ {name} ≤ 2" for name in hidden)]
    more = ["i + j ≤ m", "(i + j) mod 2 = 0", "j ≤ i", "2·j ≥ n"]
    step = f" + {int(generator.integers(3))}·z" if hidden else ""
    return Piece((f"j = {c}·i{step} + {d}·n", "0 ≤ j < 6", *ranges, more[generator.integers(4)]), hidden)


@pytest.mark.parametrize("seed", range(60))
def test_sizes_at_which_drawn_relations_differ_are_those_found_by_counting(seed) -> None:
    generator = np.random.default_rng(seed)
    space = Space(("i", "j"), ("m", "n"), ("m ≥ 1", "n ≥ 1"))
    left = [drawn_piece(generator) for _ in range(generator.integers(1, 3))]
    right = left[::-1] if seed % 5 == 0 else [drawn_piece(generator), *left[1:]]
    found = compare(left, right, space)
    differing = []
    for m, n in itertools.product(range(1, 4), repeat=2):
        sizes = {"m": m, "n": n}
        counts = [counted(each, space, sizes, 7) for each in (left, right)]
        assert [Counter(points(each, space, sizes)) for each in (left, right)] == counts
        differing.append(counts[0] != counts[1])
        assert (found.differ is not None and sizes in found.differ) == differing[-1], sizes
    if found.differ:
        sizes, example = found.differ.smallest, found.example
        ours, theirs = (counted(each, space, sizes, 7 if sum(sizes.values()) <= 6 else 12) for each in (left, right))
        at = tuple(example.indices.values())
        assert example.times == (ours[at], theirs[at])
        assert example.times[0] != example.times[1]
        assert example.wrong == sum(ours[each] != theirs[each] for each in ours | theirs)
        assert example.total == len(ours | theirs)
        smaller = itertools.product(range(1, sum(sizes.values())), repeat=2)
        assert not any({"m": m, "n": n} in found.differ for m, n in smaller if m + n < sum(sizes.values()))


def test_drawn_relations_are_sometimes_equal_and_sometimes_not() -> None:
    """The test above compares both kinds, and relations that take a tuple more than once."""
    generator = np.random.default_rng(0)
    space = Space(("i", "j"), ("m", "n"))
    pieces = [drawn_piece(generator) for _ in range(40)]
    counts = [counted([piece], space, {"m": 3, "n": 2}, 7) for piece in pieces]
    assert sum(bool(each) for each in counts) > 20
    assert sum(max(each.values(), default=0) > 1 for each in counts) > 3


@pytest.mark.parametrize(
    ("wrong", "text", "smallest"),
    [
        (("y = l + k − 1 − a", *RANGES), "exactly where k ≥ 2", {"h'": 1, "k": 2}),
        (("y = l + a + 1", *RANGES), "at all sizes", {"h'": 1, "k": 1}),
        (("y = l + a", "0 ≤ l < h' − 1", "0 ≤ a < k"), "at all sizes", {"h'": 1, "k": 1}),
        (("y = l + a", "0 ≤ l < h'", "0 ≤ a < k", "a ≤ 2"), "exactly where k ≥ 4", {"h'": 1, "k": 4}),
        (("y = h' − 1 − l + a", *RANGES), "exactly where h' ≥ 2", {"h'": 2, "k": 1}),
        (("y = l + a", *RANGES, "l ≤ k"), "exactly where k ≤ h' − 2", {"h'": 3, "k": 1}),
        (("y + h' = l + a + k", *RANGES), "exactly where k ≠ h'", {"h'": 1, "k": 2}),
        (("y = l + a", *RANGES, "2·l < h' + k"), "exactly where k ≤ h' − 2", {"h'": 3, "k": 1}),
    ],
)
def test_sizes_are_told_in_words(wrong, text, smallest) -> None:
    found = compare([PLAIN], [Piece(wrong)], AXIS)
    assert not found.equal
    assert found.differ.text == text
    assert found.differ.exact
    assert found.differ.smallest == smallest
    assert str(found.differ) == f"{text}, first at {', '.join(f'{name} = {n}' for name, n in smallest.items())}"


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ("y + h' + k = y + 2·z", "exactly where h' + k is odd"),
        ("h' + k + 1 = 2·z", "exactly where h' + k is even"),
        ("h' + 2·k = 3·z + e and 0 ≤ e ≤ 1", "exactly where k − h' is a multiple of 3 plus 1"),
        ("h' + 2·k = 3·z + e and 0 ≤ e ≤ 2", None),
    ],
)
def test_remainders_are_told_in_words(extra, text) -> None:
    hidden = ("z", "e") if "e ≤" in extra else ("z",)
    found = compare([PLAIN], [Piece((*PLAIN.conditions, extra), hidden)], AXIS)
    assert (found.differ and found.differ.text) == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("h'", ">", "k"), "h' ≥ k + 1"),
        (("h'", "<", "k"), "h' ≤ k − 1"),
        (("-h'", ">=", "k - 9"), "h' + k ≤ 9"),
        (("h' + k", ">=", "k + 1"), "h' ≥ 1"),
        (("-h' + k", ">=", "k - 9"), "h' ≤ 9"),
        (("2", "<=", "h'", "<", "k"), "2 ≤ h' < k"),
    ],
)
def test_comparisons_are_written_with_positive_terms(parts, text) -> None:
    assert prove._chain(parts) == text


def test_what_is_left_out_is_written_with_one_sign_where_it_can_be() -> None:
    texts = {
        "k = 2": "where k ≠ 2",
        "h' is odd": "where not (h' is odd)",
        "k = 2 or k = 3": "where not (k = 2 or k = 3)",
    }
    assert {text: prove._except(text) for text in texts} == texts


@pytest.mark.parametrize(("length", "text"), [(116, "exactly where {} ≥ 2"), (117, "at some sizes")])
def test_what_takes_more_than_120_characters_is_not_said(length, text) -> None:
    """The name stands in "… ≥ 2", of four characters more."""
    name = "k" * length
    taken = [Piece(tuple(each.replace("k", name) for each in piece)) for piece in ((*RANGES,), (*RANGES, "k ≤ 1"))]
    differ = compare(*([each] for each in taken), Space(("l", "a"), ("h'", name), ("h' ≥ 1", f"{name} ≥ 1"))).differ
    assert (differ.text, differ.exact) == (text.format(name), length == 116)


@pytest.mark.parametrize("names", list(itertools.permutations("nmk")))
def test_sizes_are_told_by_as_few_names_as_it_takes(names) -> None:
    """As n is 2·m + k, n ≥ 2·m + 3 tells the same sizes."""
    some = Space(("y",), names, ("n = 2·m + k", "m ≥ 1", "k ≥ 0"))
    assert compare([Piece(("y = 0",))], [Piece(("y = 0", "n ≤ 2·m + 2"))], some).differ.text == "exactly where k ≥ 3"


def test_what_takes_numbers_nobody_named_is_not_told_exactly() -> None:
    some = Piece((*PLAIN.conditions, "h' + 2·k = 5·z + e and 0 ≤ e ≤ 2"), ("z", "e"))
    differ = compare([PLAIN], [some], AXIS).differ
    assert (differ.text, differ.exact) == ("at some sizes", False)


def test_words_that_fit_other_sizes_too_say_so() -> None:
    """Reading every other pixel from the last one on is right where none of the right ones lies outside."""
    axis = Space(("l", "y"), ("h", "h'", "p"), ("h ≥ 1", "p ≥ 0", "h' ≥ 1", "h + p = 2·h'"))
    right = Piece(("y = 2·l − p", "0 ≤ l < h'", "0 ≤ y < h"))
    turned = Piece(("h − 1 − y = 2·l − p", "0 ≤ l < h'", "0 ≤ y < h"))
    differ = compare([right], [turned], axis).differ
    assert not differ.exact
    assert differ.text == "only where h ≥ 2"
    inside = [{"h": h, "p": p, "h'": (h + p) // 2} in differ for h in range(2, 8) for p in range(h % 2, 8, 2)]
    assert {True, False} == set(inside)


def test_a_tuple_taken_twice_is_not_one_taken_once() -> None:
    twice = Piece((*PLAIN.conditions, "0 ≤ z ≤ 1"), ("z",))
    for wrong in ([PLAIN, PLAIN], [twice]):
        found = compare([PLAIN], wrong, AXIS)
        assert found.differ.text == "at all sizes"
        assert found.example.times == (1, 2)
    assert compare([PLAIN, PLAIN], [twice], AXIS) == Comparison()
    assert compare([PLAIN, PLAIN, PLAIN], [twice, PLAIN], AXIS).equal


def test_tuples_are_counted_by_pieces_with_other_hidden_indices() -> None:
    halves = [
        Piece((*PLAIN.conditions, "l = 2·z"), ("z",)),
        Piece((*PLAIN.conditions, "l = 2·z + 1", "u = z"), ("z", "u")),
    ]
    assert compare([PLAIN], halves, AXIS).equal
    overlapping = [halves[0], Piece((*PLAIN.conditions, "l ≥ 1"))]
    assert compare([PLAIN], overlapping, AXIS).differ.text == "exactly where h' ≥ 3"


def test_what_cannot_be_counted_is_refused() -> None:
    many = Piece((*PLAIN.conditions, "0 ≤ z < k"), ("z",))
    with pytest.raises(ValueError, match="taken more than 8 times"):
        compare([many], [many], AXIS)


def test_a_relation_without_pieces_takes_nothing() -> None:
    assert compare([], [], AXIS).equal
    assert compare([], [PLAIN], AXIS).differ.text == "at all sizes"
    assert compare([PLAIN], [Piece((*PLAIN.conditions, "k ≤ 1"))], AXIS).differ.text == "exactly where k ≥ 2"


def test_only_legal_sizes_are_spoken_of() -> None:
    turned = Piece(("y = l + k − 1 − a", *RANGES))
    assert compare([PLAIN], [turned], Space(AXIS.indices, AXIS.sizes, ("h' ≥ 1", "k = 1"))).equal
    with pytest.raises(ValueError, match="no sizes are legal: k ≥ 2 and k ≤ 1"):
        compare([PLAIN], [turned], Space(AXIS.indices, AXIS.sizes, ("k ≥ 2", "k ≤ 1")))


def test_names_with_primes_are_names_of_their_own() -> None:
    space = Space(("y",), ("p", "p'"), ("p ≥ 0", "p' ≥ 0"))
    found = compare([Piece(("y = p",))], [Piece(("y = p'",))], space)
    assert found.differ.text == "exactly where p' ≠ p"
    assert found.differ.smallest == {"p": 0, "p'": 1}
    assert {"p": 1, "p'": 1} not in found.differ
    assert {"p": 2, "p'": 1} in found.differ


def test_numbers_in_the_place_of_names() -> None:
    piece = Piece(("y = s·l + δ·a − p", "0 ≤ l < h'"), ("z",)).at({"s": 2, "δ": 3, "h": 9})
    assert piece == Piece(("y = 2·l + 3·a − p", "0 ≤ l < h'"), ("z",))
    space = Space(("y",), ("h", "h'", "s"), ("h ≥ s·h'",)).at({"s": 2})
    assert space == Space(("y",), ("h", "h'"), ("h ≥ 2·h'",))


@pytest.mark.parametrize("condition", ["y = l·k", "y = (l", "y ~ l", "y = u"])
def test_what_is_no_condition_is_refused(condition, capfd) -> None:
    with pytest.raises(ValueError, match="not a relation: "):
        compare([Piece((condition,))], [PLAIN], AXIS)
    capfd.readouterr()


@pytest.mark.parametrize(
    ("name", "hidden", "indices"),
    [("l", ("l",), "lay"), ("k", ("k",), "lay"), ("z", ("z", "z"), "lay"), ("k", (), "layk")],
)
def test_one_name_for_two_things_is_refused(name, hidden, indices) -> None:
    piece, space = Piece(PLAIN.conditions, hidden), Space(tuple(indices), AXIS.sizes, AXIS.legal)
    with pytest.raises(ValueError, match=f"{name} cannot name two things"):
        compare([PLAIN], [piece], space)
    with pytest.raises(ValueError, match=f"{name} cannot name two things"):
        points([piece], space, {"h'": 1, "k": 1})


def test_sizes_without_a_least_one_are_refused() -> None:
    space = Space(("y",), ("h", "k"), ("h ≥ 1",))
    with pytest.raises(ValueError, match="h, k has no least value"):
        compare([Piece(("y = h",))], [Piece(("y = k",))], space)


def test_points_need_all_sizes() -> None:
    with pytest.raises(ValueError, match="sizes has no number for k"):
        points([PLAIN], AXIS, {"h'": 2})


def test_tuples_without_end_are_compared_but_not_listed() -> None:
    endless = Piece(("y = l + a", "0 ≤ l", "0 ≤ a < k"))
    found = compare([PLAIN], [endless], AXIS)
    assert found.differ.text == "at all sizes"
    assert found.example is None
    with pytest.raises(ValueError, match="tuples without end are taken where y = l \\+ a and 0 ≤ l"):
        points([endless], AXIS, {"h'": 1, "k": 1})


def test_sizes_survive_on_their_way_to_another_process() -> None:
    import pickle

    found = compare([PLAIN], [Piece(("y = l", *RANGES))], AXIS)
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert isinstance(again.differ, Sizes)
    assert {"h'": 1, "k": 2} in again.differ


def test_the_library_is_loaded_when_something_is_compared() -> None:
    code = (
        "import sys, jacobians.verify.run, jacobians.formula.prove as prove; print('islpy' in sys.modules, end=' ');"
        "prove.compare([], [], prove.Space(('i',), ('n',))); print('islpy' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "True"]


def test_without_the_library_nothing_is_compared(monkeypatch) -> None:
    assert prove.available()
    monkeypatch.setitem(sys.modules, "islpy", None)
    assert not prove.available()
    monkeypatch.setitem(sys.modules, "islpy", types.ModuleType("islpy"))  # one without a place to load it from
    assert not prove.available()
    monkeypatch.setitem(sys.modules, "islpy", None)
    with pytest.raises(ImportError, match="islpy"):
        compare([PLAIN], [Piece(("y = l − 1", *RANGES))], AXIS)


def test_a_ctrl_c_while_points_are_read_is_one(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prove, "_coordinates", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        prove.points([prove.Piece(("0 ≤ l < h'",))], prove.Space(("l",), ("h'",)), {"h'": 2})
