"""Matrices that are kept: what is loaded is what was saved, of a known layer, and a file is whole or refused."""

import errno
import pickle
import sys
import zipfile

import numpy as np
import pytest
import scipy.sparse

from jacobians import Geometry, TooLargeError, export, models
from jacobians.operators import filter_operator, layer_operator
from tests.limits import files_up_to
from tests.strategies import distinct

GEOMETRY = Geometry((4, 7, 6), (6, 2, 3, 2), stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(1, 2), groups=2)
F, X = distinct(GEOMETRY.filters), distinct(GEOMETRY.image)
LAYER = models.ConvolutionLayer("features.0", GEOMETRY, F.astype(np.float32))
KINDS = {
    "layer": (LAYER, export.SavedLayer("features.0", "image", GEOMETRY)),
    "image": (layer_operator(F, GEOMETRY), export.SavedLayer("", "image", GEOMETRY)),
    "filters": (filter_operator(X, GEOMETRY), export.SavedLayer("", "filters", GEOMETRY)),
    "matrix": (layer_operator(F, GEOMETRY).matrix(), None),
}


def assert_same(one, other):
    assert isinstance(one, scipy.sparse.csr_array)
    assert one.shape == other.shape
    for part in ("data", "indices", "indptr"):
        a, b = getattr(one, part), getattr(other, part)
        assert (a.dtype, a.tolist()) == (b.dtype, b.tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_matrix_is_loaded_as_it_was_saved_by_scipy_too(tmp_path, kind, compressed):
    given, label = KINDS[kind]
    file = tmp_path / "saved.npz"
    export.save(given, file, **({"compressed": True} if compressed else {}))
    with zipfile.ZipFile(file) as archive:
        assert (archive.getinfo("data.npy").compress_type == zipfile.ZIP_DEFLATED) == compressed
    matrix = given if label is None else given.matrix()
    assert_same(export.load(str(file)), matrix)
    assert_same(scipy.sparse.load_npz(file), matrix)
    assert export.layer_of(file) == label
    if label is not None:
        assert label.shape == matrix.shape


def test_other_sparse_formats_are_saved_as_csr_and_refused_where_scipy_saved_them(tmp_path):
    matrix = LAYER.matrix()
    export.save(scipy.sparse.csc_matrix(matrix), tmp_path / "ours.npz")
    assert_same(export.load(tmp_path / "ours.npz"), matrix)
    for other in ("bsr", "coo", "csc", "dia"):
        scipy.sparse.save_npz(tmp_path / "theirs.npz", scipy.sparse.eye_array(3).asformat(other))
        with pytest.raises(ValueError, match=rf"theirs\.npz .* in the format {other}, not csr"):
            export.load(tmp_path / "theirs.npz")


def test_a_full_disk_tears_no_file_and_is_named(tmp_path):
    file = tmp_path / "saved.npz"
    file.write_bytes(b"as it was")
    with files_up_to(100), pytest.raises(OSError, match=r"saved\.npz cannot be written: File too large") as caught:
        export.save(LAYER, file)
    assert caught.value.errno == errno.EFBIG
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"saved.npz": b"as it was"}


@pytest.mark.parametrize("place", ["nowhere/saved.npz", "file/saved.npz", "."])
def test_a_path_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be written") as caught:
        export.save(LAYER, tmp_path / place)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def refused(file):
    """The one line that both readers say of a file."""
    for read in (export.load, export.layer_of):
        with pytest.raises(ValueError, match=r"holds no matrix that can be read") as caught:
            read(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_files_that_are_cut_off_or_changed_are_refused(tmp_path):
    file = tmp_path / "saved.npz"
    export.save(LAYER, file)
    whole = file.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        refused(file)
    changed = bytearray(whole)
    changed[whole.index(LAYER.matrix().data.tobytes()) + 5] ^= 1
    file.write_bytes(changed)
    with pytest.raises(ValueError, match=r"Bad CRC-32"):
        export.load(file)


class Bomb:
    """What a pickle can execute."""

    def __reduce__(self):
        return sys.exit, ("executed",)


def test_pickles_are_never_read(tmp_path):
    file = tmp_path / "saved.npz"
    file.write_bytes(pickle.dumps(Bomb()))
    refused(file)
    export.save(LAYER, file)
    parts = dict(np.load(file))
    np.savez(file, **{**parts, "layer": np.array([Bomb()]), "data": np.array([Bomb()])})
    refused(file)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("indices", lambda each: each + 1000),
        ("indices", lambda each: each[:-1]),
        ("indptr", lambda each: each[::-1]),
        ("indptr", lambda each: each + 1),
        ("shape", lambda each: -each),
        ("format", lambda each: np.array(b"abc")),
    ],
)
def test_files_whose_arrays_contradict_each_other_are_refused(tmp_path, part, change):
    file = tmp_path / "saved.npz"
    scipy.sparse.save_npz(file, LAYER.matrix())
    parts = dict(np.load(file))
    np.savez(file, **{**parts, part: change(parts[part])})
    with pytest.raises(ValueError, match=r"holds no matrix that can be read"):
        export.load(file)


def test_a_file_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ValueError, match=r"other\.npz holds no matrix"):
        export.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        export.load(tmp_path / "nowhere.npz")
    with pytest.raises(TypeError, match=r"layer has type ndarray; it needs a ConvolutionLayer"):
        export.save(F, tmp_path / "F.npz")


def test_what_does_not_fit_is_refused_before_it_is_built_or_read(tmp_path):
    with pytest.raises(TooLargeError, match=r"1e-06 GiB|9\.54e-07 GiB|9\.31e-07 GiB"):
        export.save(LAYER, tmp_path / "saved.npz", max_bytes=1000)
    assert not list(tmp_path.iterdir())
    export.save(LAYER, tmp_path / "saved.npz")
    with pytest.raises(TooLargeError, match=r"saved\.npz .* save_blocks"):
        export.load(tmp_path / "saved.npz", max_bytes=1000)


@pytest.mark.parametrize(("module", "extra"), [("zarr", "zarr"), ("torch", "torch")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    calls = {
        "zarr": [lambda: export.save_blocks(LAYER, tmp_path / "new"), lambda: export.load(tmp_path)],
        "torch": [lambda: export.to_torch(LAYER)],
    }
    for call in calls[module]:
        with pytest.raises(ModuleNotFoundError, match=rf"pip install 'jacobians\[{extra}\]'"):
            call()
