"""Stores of matrices that fit into no memory: written and read in blocks, and refused where anything is missing."""

import itertools
import json
import shutil

import numpy as np
import pytest
import scipy.sparse

from jacobians import Geometry, TooLargeError, export
from jacobians.operators import filter_operator, layer_operator
from tests.limits import files_up_to
from tests.test_export import GEOMETRY, KINDS, LAYER, F, assert_same

zarr = pytest.importorskip("zarr", reason="zarr is not installed: the extra zarr")

# Of a few rows, which divide the matrix into blocks that are not all alike.
SMALL = 1000


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "store.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "CHUNK", 600)
        export.save_blocks(LAYER, path, memory=SMALL)
    return path


@pytest.fixture
def store(written, tmp_path):
    return shutil.copytree(written, tmp_path / "store.zarr")


def refused(path, match):
    for read in (export.load, export.layer_of, lambda path: list(export.load_blocks(path))):
        with pytest.raises(ValueError, match=match) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["layer", "image", "filters"])
def test_a_store_gives_back_the_matrix_whole_and_in_blocks(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(export, "CHUNK", 100)  # blocks and chunks end at different entries
    given, label = KINDS[kind]
    path = tmp_path / "store.zarr"
    export.save_blocks(given, path, memory=SMALL)
    matrix = given.matrix()
    assert_same(export.load(path), matrix)
    assert export.layer_of(path) == label
    blocks = list(export.load_blocks(str(path), memory=2 * SMALL))
    assert len(blocks) > 3
    assert all(sum(part.nbytes for part in (each.data, each.indices, each.indptr)) <= 2 * SMALL for each in blocks)
    assert_same(scipy.sparse.vstack(blocks, format="csr"), matrix)


@pytest.mark.parametrize(
    ("operator", "nonzeros"),
    [
        (layer_operator(0 * F, GEOMETRY), GEOMETRY.nonzeros),
        (layer_operator(np.ones((1, 1, 1)), Geometry((1, 1), (1, 1, 1), stride=3, padding=((2, 0),))), 0),
    ],
    ids=["all are 0", "none"],
)
def test_entries_of_zero_are_kept_and_there_may_be_none(tmp_path, operator, nonzeros):
    export.save_blocks(operator, tmp_path / "store.zarr")
    assert_same(export.load(tmp_path / "store.zarr"), operator.matrix())
    assert [each.nnz for each in export.load_blocks(tmp_path / "store.zarr")] == [nonzeros]


def test_columns_beyond_int32_are_kept(tmp_path, monkeypatch):
    assert [export._index(most).itemsize for most in (2**31 - 1, 2**31)] == [4, 8]
    monkeypatch.setattr(export, "_index", lambda most: np.dtype(np.int64))
    export.save_blocks(LAYER, tmp_path / "store.zarr", memory=SMALL)
    loaded = export.load(tmp_path / "store.zarr")
    assert loaded.indices.dtype == np.int64
    assert (loaded != LAYER.matrix()).nnz == 0


def test_a_full_disk_leaves_a_store_that_is_refused_and_can_be_written_anew(tmp_path):
    path, noise = tmp_path / "store.zarr", np.random.default_rng(0).normal(size=GEOMETRY.image)
    operator = filter_operator(noise, GEOMETRY)  # which no compression makes small
    with files_up_to(1000), pytest.raises(OSError, match=r"store\.zarr cannot be written: File too large"):
        export.save_blocks(operator, path, memory=SMALL)
    refused(path, "interrupted")
    export.save_blocks(operator, path, memory=SMALL)
    assert_same(export.load(path), operator.matrix())


def test_an_interrupted_store_is_refused(tmp_path, monkeypatch):
    class Interrupted(type(LAYER.operator())):
        def matrix(self, *, rows, max_bytes):
            if rows.start:
                raise KeyboardInterrupt(rows)
            return super().matrix(rows=rows, max_bytes=max_bytes)

    path = tmp_path / "store.zarr"
    with pytest.raises(KeyboardInterrupt, match=r"slice"):
        export.save_blocks(Interrupted(GEOMETRY, F, GEOMETRY.pixels), path, memory=SMALL)
    refused(path, "interrupted")


def test_what_is_there_is_never_lost(store, tmp_path):
    other = tmp_path / "folder"
    other.mkdir()
    (other / "thesis.tex").touch()
    for path in (store, other, other / "thesis.tex"):
        with pytest.raises(FileExistsError, match=r"give another path"):
            export.save_blocks(LAYER, path)
    assert (other / "thesis.tex").exists()
    assert_same(export.load(store), LAYER.matrix())


def test_lost_and_broken_chunks_are_refused(store):
    chunk = store / "data" / "c" / "0"
    whole = chunk.read_bytes()
    changed = [bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in range(30, len(whole), len(whole) // 9)]
    for content in (whole[:-1], whole[:20], *changed):
        chunk.write_bytes(content)
        with pytest.raises(ValueError, match=r"store\.zarr holds no matrix that can be read"):
            export.load(store)
    chunk.unlink()
    refused(store, "1 chunks of its array data are lost")
    shutil.rmtree(store / "data")
    refused(store, "data")


def test_attributes_that_are_not_of_this_layer_are_refused(store):
    file = store / "zarr.json"
    right = file.read_text()
    changes = [
        lambda attributes: attributes.clear(),
        lambda attributes: attributes.update(finished=1),
        lambda attributes: attributes["layer"].update(wrt="bias"),
        lambda attributes: attributes["layer"]["geometry"].update(stride=[1, 1]),
        lambda attributes: attributes["layer"]["geometry"].update(more=1),
    ]
    for change in changes:
        record = json.loads(right)
        change(record["attributes"])
        file.write_text(json.dumps(record))
        refused(store, "holds no matrix that can be read")


@pytest.mark.parametrize("stride", [[1, 1], [3, 1]])
def test_arrays_that_are_shorter_or_longer_than_the_layers_are_refused(store, stride):
    record = json.loads((store / "zarr.json").read_text())
    record["attributes"]["layer"]["geometry"]["stride"] = stride
    (store / "zarr.json").write_text(json.dumps(record))
    refused(store, "its array data has the shape")


def test_an_index_that_leaves_the_matrix_is_refused(store):
    zarr.open_group(store)["indices"][5] = GEOMETRY.pixels
    with pytest.raises(ValueError, match=r"holds no matrix that can be read"):
        export.load(store)


def test_what_is_no_store_is_refused(tmp_path):
    refused(tmp_path, "holds no matrix that can be read")
    for read in (export.load, lambda path: next(export.load_blocks(path))):
        with pytest.raises(FileNotFoundError, match=r"nowhere"):
            read(tmp_path / "nowhere")
    with pytest.raises(TypeError, match=r"layer has type csr_array"):
        export.save_blocks(LAYER.matrix(), tmp_path / "store.zarr")


def test_memory_is_held_to(store, tmp_path):
    def blocks(memory):
        return export.load_blocks(store, memory=memory)

    row = GEOMETRY.taps * (4 + 8) + 8
    for call in (lambda: export.save_blocks(LAYER, tmp_path / "b", memory=row - 1), lambda: next(blocks(row - 1))):
        with pytest.raises(TooLargeError, match=r"raise memory"):
            call()
    assert [each.shape[0] for each in itertools.islice(blocks(row), 3)] == [1, 1, 1]
    assert len(list(export.load_blocks(store, memory="1GiB"))) == 1
    with pytest.raises(ValueError, match=r"memory is 'much'"):
        next(export.load_blocks(store, memory="much"))
    with pytest.raises(TooLargeError, match=r"load_blocks"):
        export.load(store, max_bytes=SMALL)
