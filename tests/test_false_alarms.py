"""Right code, audited over all dtypes and all pairs of options: no finding; `make sweep` takes more seeds."""

import importlib.util
import re
import sys

import pytest

from jacobians.testing import option_pairs
from tests import false_alarms
from tests.false_alarms import RIGHT, report_of

NUMPY = [name for name, (_, _, dtypes) in RIGHT.items() if "int64" in dtypes or name == "fft"]


def audits(names, seeds):
    """Spread the seeds over the implementations, their dtypes and the pairs of options."""
    found = []
    for seed in seeds:
        name = names[seed % len(names)]
        ndim, _, dtypes = RIGHT[name]
        pairs = option_pairs(ndim)
        turn = seed // len(names)
        found.append((name, pairs[turn % len(pairs)], dtypes[(turn + turn // len(pairs)) % len(dtypes)], seed))
    return found


def assert_silent(name, options, dtype, seed):
    report = report_of(name, options, dtype, seed).check()
    assert report.audited == ("S", "∂l/∂X", "∂l/∂F", "∂l/∂b")
    assert report.log2_miss <= -60
    assert all("does not sum directly" in note and name == "fft" for note in report.notes)


@pytest.mark.parametrize(("name", "options", "dtype", "seed"), audits(NUMPY, range(54)), ids=str)
def test_no_false_alarm_of_numpy_code(name, options, dtype, seed):
    assert_silent(name, options, dtype, seed)


@pytest.mark.parametrize(
    ("name", "options", "dtype", "seed"), audits(["torch1", "torch2", "torch3"], range(54)), ids=str
)
def test_no_false_alarm_of_torch(name, options, dtype, seed, request):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    assert_silent(name, options, dtype, seed)


def test_the_audits_cover_every_dtype_and_every_pair_of_options():
    for names in (NUMPY, ["torch1", "torch2", "torch3"]):
        seen = audits(names, range(54))
        for name in names:
            assert {dtype for each, _, dtype, _ in seen if each == name} == set(RIGHT[name][2])
        flat = {str(options) for name, options, *_ in seen if RIGHT[name][0] == 2}
        assert flat == {*map(str, option_pairs())}


def test_the_sweep_counts_its_audits_and_leaves_out_what_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["false_alarms", "--seeds", "1"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(false_alarms, "RIGHT", {name: RIGHT[name] for name in ("fft", "torch1", "jax3")})
    monkeypatch.setattr(false_alarms, "option_pairs", lambda ndim: option_pairs(ndim)[:1])
    assert false_alarms.main() == 0
    said = capsys.readouterr().out
    assert re.findall(r"^fft (\w+): 1 audits, 0 false alarms", said, re.MULTILINE) == ["float64", "float32", "float16"]
    assert "torch1: left out, torch is not installed\njax3: left out, jax is not installed\n" in said
