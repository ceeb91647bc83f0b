from jacobians.evidence import readout


def value(arrays):
    """x2 f1 − 3 x1 f3."""
    x, f = arrays["X"], arrays["F"]
    return x[1] * f[0] - 3 * x[0] * f[2]


def test_products_are_read_with_their_coefficients_and_the_places_of_their_factors():
    assert readout.products(value, {"X": 2, "F": 3}) == {(1, 0): 1, (0, 2): -3}
    assert readout.products(value, {"F": 3, "X": 2}) == {(0, 1): 1, (2, 0): -3}


def test_other_code_reads_otherwise():
    def turned(arrays):
        return value({name: each[::-1] for name, each in arrays.items()})

    assert readout.products(turned, {"X": 2, "F": 3}) == {(0, 2): 1, (1, 0): -3}


def test_what_is_no_number_is_not_read():
    assert readout.products(lambda arrays: None if arrays["F"][1] else value(arrays), {"X": 2, "F": 3}) is None
