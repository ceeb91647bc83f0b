"""Names of code on the command line: files, modules, classes, methods, and files inside packages."""

import sys

import pytest

from jacobians.audit.loading import Method, load, load_both
from tests import strangers

CODE = """
def forward(X, F):
    return X
class Conv:
    def forward(self, X):
        return X
    @staticmethod
    def plain(X, F):
        return X
    class Inner:
        def backward(self, G):
            return G
conv = Conv()
number = 3
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module that imports another one relatively, in the current folder."""
    folder = tmp_path / "somebodys_package" / "layers"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        (each / "__init__.py").touch()
    (folder.parent / "helpers.py").write_text("def helped(X, F):\n    return X\n")
    (folder / "conv.py").write_text(CODE + "from ..helpers import helped\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    "where", ["somebodys_package/layers/conv.py", "somebodys_package.layers.conv", "ABSOLUTE/conv.py"]
)
def test_a_file_in_a_package_and_a_module_are_the_same(package, where):
    where = where.replace("ABSOLUTE", str(package))
    helped = load(where, "helped")
    assert (helped.__module__, helped.__qualname__) == ("somebodys_package.helpers", "helped")
    assert load(where, "forward").__module__ == "somebodys_package.layers.conv"


def test_classes_methods_and_objects(package):
    where = "somebodys_package.layers.conv"
    Conv = load(where, "Conv")
    assert load(where, "Conv.forward") == Method(Conv, "forward")
    assert load(where, "Conv.Inner.backward") == Method(Conv.Inner, "backward")
    assert load(where, "Conv.plain") is Conv.plain
    assert type(load(where, "conv")) is Conv
    assert load(where, "conv.forward")(1) == 1


def test_both_passes_are_of_one_module(package):
    forward, backward = load_both("somebodys_package/layers/conv.py:Conv.forward", "Conv.Inner.backward")
    assert backward.owner is forward.owner.Inner
    assert load_both("somebodys_package.layers.conv:-", "forward")[0] is None


def test_a_module_of_the_environment():
    assert load("tests.strangers", "Conv") is strangers.Conv


@pytest.mark.parametrize(
    ("where", "called", "said"),
    [
        ("nowhere.py", "f", "^nowhere.py does not exist"),
        ("no_such_module.inside", "f", "^no_such_module.inside does not exist"),
        ("tests.no_such_module", "f", "^tests.no_such_module does not load: ModuleNotFoundError"),
        ("no-module", "f", "^no-module does not exist"),
        ("somebodys_package.layers.conv", "forwrd", "has no function 'forwrd'; did you mean forward"),
        ("somebodys_package.layers.conv", "Conv.forwrd", "has no function 'Conv.forwrd'; did you mean forward"),
        ("somebodys_package.layers.conv", "number", "has no function 'number'"),
    ],
)
def test_what_is_not_there_is_said(package, where, called, said):
    with pytest.raises(ValueError, match=said):
        load(where, called)
