"""Matrices of layers that are kept: as npz files, in blocks of rows as zarr stores, and as sparse arrays of PyTorch."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
import zipfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse import csr_array, issparse

from jacobians import files
from jacobians.arguments import bytes_of, instance
from jacobians.errors import DtypeError
from jacobians.geometry import Geometry
from jacobians.models import ConvolutionLayer
from jacobians.operators import FilterOperator, LayerOperator
from jacobians.sizes import check_bytes

__all__ = ["SavedLayer", "layer_of", "load", "load_blocks", "save", "save_blocks", "to_torch"]

# Bytes of a block of rows, where nothing else is said.
MEMORY = 1 << 28
# Entries of a chunk of a store: zarr compresses or reads ten of them at once.
CHUNK = 1 << 19
# Under which name a file says which layer it is, beside the arrays of scipy.
LABEL = "layer"
NEEDS = "a ConvolutionLayer, an operator such as operators.layer_operator(F, geometry)"


@dataclasses.dataclass(frozen=True)
class SavedLayer:
    """Which layer's matrix a file or a store holds.

    Attributes
    ----------
    name : str
        As the model names the layer; empty where an operator was saved, which has no name.
    wrt : {"image", "filters"}
        With respect to what vec(S) is differentiated.
    geometry : Geometry
        The layer's shapes and options.
    """

    name: str
    wrt: str
    geometry: Geometry

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix."""
        geometry = self.geometry
        n = geometry.filters[0]
        return n * geometry.positions, geometry.pixels if self.wrt == "image" else n * geometry.taps


# npz files ------------------------------------------------------------------------------------------------------------


def save(layer: Any, file: str | PathLike[str], *, compressed: bool = False, max_bytes: int | None = None) -> None:
    """Save a matrix as an npz file, which `scipy.sparse.load_npz` reads, too.

    Parameters
    ----------
    layer : ConvolutionLayer, LayerOperator, FilterOperator or sparse array
        What to save: a layer's ∂vec(S)/∂vec(X), the matrix of an operator, or any sparse array as CSR.
    file : path
        Where to. The file is written beside and then renamed, so that it is whole or as it was before.
    compressed : bool
        Whether to compress it, which takes a small part of the space and many times as long.
    max_bytes : int, optional
        Largest matrix in bytes; by default the memory that is available.

    Raises
    ------
    TypeError
        If `layer` is none of these.
    TooLargeError
        If the matrix does not fit into memory; `save_blocks` writes it in blocks of rows.
    OSError
        If the file cannot be written, such as where a disk is full.

    Notes
    -----
    The file holds the arrays that `scipy.sparse.save_npz` writes and, if a layer or an operator was saved, which layer
    it is as JSON, which `layer_of` returns.

    Examples
    --------
    >>> import tempfile
    >>> from jacobians.operators import layer_operator
    >>> A = layer_operator([[[[1, 2]]]], Geometry((1, 1, 3), (1, 1, 1, 2)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(A, f"{folder}/A.npz")
    ...     load(f"{folder}/A.npz").toarray()
    array([[1, 2, 0],
           [0, 1, 2]])
    """
    path = Path(file)
    label, matrix = _matrix(layer, max_bytes)
    with _names(path), files.written(path) as stream:
        scipy.sparse.save_npz(stream, matrix, compressed=compressed)
        if label is not None:
            with zipfile.ZipFile(stream, "a") as archive, archive.open(f"{LABEL}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.array(json.dumps(_plain(label))), allow_pickle=False)


def load(path: str | PathLike[str], *, max_bytes: int | None = None) -> csr_array:
    """Load the matrix of an npz file or of a store.

    Parameters
    ----------
    path : path
        What `save`, `scipy.sparse.save_npz` for a CSR array, or `save_blocks` wrote.
    max_bytes : int, optional
        Largest matrix in bytes; by default the memory that is available.

    Returns
    -------
    csr_array
        The same entries, indices and dtype. What the file says is checked: no index leaves the matrix.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModuleNotFoundError
        If it is a store and ``jacobians[zarr]`` is not installed.
    ValueError
        If it is broken, holds anything else, or its writing was interrupted. Nothing in it is executed: pickled
        objects are refused.
    TooLargeError
        If the matrix does not fit into memory; `load_blocks` reads a store in blocks of rows.
    """
    path = Path(path)
    if path.is_dir():
        store = _Store(path)
        check_bytes(f"the matrix in {path}", store.bytes, "read it in blocks with load_blocks(…)", max_bytes)
        return store.rows(0, store.layer.shape[0])
    with _readable(path), path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        size = sum(each.file_size for each in archive.infolist())
    check_bytes(f"the matrix in {path}", size, "save it with save_blocks(…), and read it in blocks", max_bytes)
    with _readable(path), path.open("rb") as stream:
        matrix: Any = scipy.sparse.load_npz(stream)
        if matrix.format != "csr":
            raise ValueError(f"it holds a sparse array in the format {matrix.format}, not csr")
        matrix.check_format(full_check=True)
        return csr_array(matrix)


def layer_of(path: str | PathLike[str]) -> SavedLayer | None:
    """Say which layer's matrix a file or a store holds.

    Parameters
    ----------
    path : path
        What `save` or `save_blocks` wrote.

    Returns
    -------
    SavedLayer or None
        None where a sparse array was saved, of which no layer is known.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError, ValueError
        As `load`.
    """
    path = Path(path)
    if path.is_dir():
        return _Store(path).layer
    with _readable(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return _label(json.loads(str(archive[LABEL]))) if LABEL in archive else None


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Make one error of all that a broken file can raise."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{path} holds no matrix that can be read: {error}") from error


@contextlib.contextmanager
def _names(path: Path) -> Iterator[None]:
    """Say which file cannot be written, which the system does not say of one that it was given to write to."""
    try:
        yield
    except OSError as error:
        text = f"{path} cannot be written: {error.strerror or error}"
        raise (OSError(text) if error.errno is None else OSError(error.errno, text)) from error


# stores of zarr -------------------------------------------------------------------------------------------------------


def save_blocks(
    layer: ConvolutionLayer | LayerOperator | FilterOperator, store: str | PathLike[str], *, memory: int | str = MEMORY
) -> None:
    """Save a matrix that need not fit into memory as a zarr store, in blocks of rows.

    Parameters
    ----------
    layer : ConvolutionLayer, LayerOperator or FilterOperator
        What to save: a layer's ∂vec(S)/∂vec(X), or the matrix of an operator.
    store : path
        A folder, which is made. A store whose writing was interrupted is written anew.
    memory : int or str
        Bytes of a block of rows, or an amount such as ``"512MB"``. Zarr takes up to about 300 MiB more to compress it.

    Raises
    ------
    TypeError
        If `layer` is none of these.
    ValueError
        If `memory` is no amount.
    FileExistsError
        If there is anything else at this path.
    TooLargeError
        If one row takes more than this memory.
    ModuleNotFoundError
        If ``jacobians[zarr]`` is not installed.
    OSError
        If the store cannot be written, such as where a disk is full. What is there by then is refused by `load`.

    Notes
    -----
    The store is a group of zarr's format 3 with the one-dimensional arrays ``data``, ``indices`` and ``indptr`` of CSR,
    compressed. Its attributes say which layer it is, and in the end that it is ``finished``.
    """
    zarr, path, memory = _zarr("save_blocks"), Path(store), bytes_of("memory", memory)
    label, operator = _labelled(layer, NEEDS)
    rows, columns = operator.shape
    dtype = operator.operand.dtype
    step = _rows_at_once(label, dtype, memory)
    unfinished = _unfinished(path)
    if path.exists() and not unfinished:
        raise FileExistsError(f"{path} is there already; give another path, or delete it first")
    with _names(path):
        group = zarr.create_group(path, overwrite=unfinished, attributes={LABEL: _plain(label), "finished": False})
        nonzeros = label.geometry.nonzeros
        data = _array(zarr, group, "data", nonzeros, dtype)
        indices = _array(zarr, group, "indices", nonzeros, _index(columns))
        indptr = _array(zarr, group, "indptr", rows + 1, np.dtype(np.int64))
        end = 0
        for start in range(0, rows, step):
            block = operator.matrix(rows=slice(start, start + step), max_bytes=memory)
            data[end : end + block.nnz] = block.data
            indices[end : end + block.nnz] = block.indices
            indptr[start : start + len(block.indptr)] = block.indptr.astype(np.int64) + end
            end += block.nnz
        group.attrs["finished"] = True


def load_blocks(store: str | PathLike[str], *, memory: int | str = MEMORY) -> Iterator[csr_array]:
    """Read the matrix of a store in blocks of rows.

    Parameters
    ----------
    store : path
        What `save_blocks` wrote.
    memory : int or str
        Bytes of a block, or an amount such as ``"512MB"``. Zarr takes up to about 300 MiB more to decompress it.

    Yields
    ------
    csr_array
        Rows of the matrix, from the first to the last.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError, ValueError
        As `load`.
    TooLargeError
        If one row takes more than this memory.
    """
    read = _Store(Path(store))
    rows = read.layer.shape[0]
    step = _rows_at_once(read.layer, read.arrays["data"].dtype, bytes_of("memory", memory))
    for start in range(0, rows, step):
        yield read.rows(start, min(start + step, rows))


class _Store:
    """A store that was written to its end, and all of whose chunks are there: zarr would read zeros for lost ones."""

    def __init__(self, path: Path) -> None:
        zarr = _zarr("a store")
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}")
        self.path = path
        with _readable(path):
            if not (path / "zarr.json").is_file():
                raise ValueError("it is a folder, and no store")
            group = zarr.open_group(path, mode="r")
            self.layer = _label(group.attrs[LABEL])
            if group.attrs["finished"] is not True:
                raise ValueError("its writing was interrupted; write it again with save_blocks(…)")
            self.arrays = {name: group[name] for name in ("data", "indices", "indptr")}
            sizes = {"indptr": self.layer.shape[0] + 1}
            for name, array in self.arrays.items():
                if array.shape != (sizes.get(name, self.layer.geometry.nonzeros),):
                    raise ValueError(f"its array {name} has the shape {array.shape}, which is not that of the layer")
                if array.nchunks_initialized != array.nchunks:
                    raise ValueError(f"{array.nchunks - array.nchunks_initialized} chunks of its array {name} are lost")
        self.bytes = sum(array.nbytes for array in self.arrays.values())

    def rows(self, start: int, stop: int) -> csr_array:
        """Read rows ``start … stop − 1``."""
        with _readable(self.path):
            indptr = self.arrays["indptr"][start : stop + 1]
            entries = slice(int(indptr[0]), int(indptr[-1]))
            indices = self.arrays["indices"][entries]
            index = np.promote_types(indices.dtype, _index(len(indices)))
            columns = self.layer.shape[1]
            arrays = self.arrays["data"][entries], indices.astype(index, copy=False), (indptr - indptr[0]).astype(index)
            matrix = csr_array(arrays, shape=(stop - start, columns))
            matrix.check_format(full_check=True)
            return matrix


def _rows_at_once(layer: SavedLayer, dtype: np.dtype[Any], memory: int) -> int:
    row = layer.geometry.taps * (dtype.itemsize + 8) + 8
    check_bytes(f"one row of a matrix with {layer.geometry.taps} entries in it", row, "raise memory", memory)
    return memory // row


def _array(zarr: ModuleType, group: Any, name: str, size: int, dtype: np.dtype[Any]) -> Any:
    return group.create_array(
        name,
        shape=(size,),
        dtype=dtype,
        chunks=(min(CHUNK, max(size, 1)),),
        compressors=zarr.codecs.ZstdCodec(checksum=True),
        config={"write_empty_chunks": True},
    )


def _index(most: int) -> np.dtype[Any]:
    return np.dtype(np.int32 if most <= np.iinfo(np.int32).max else np.int64)


def _unfinished(path: Path) -> bool:
    """Whether this is a store whose writing was interrupted, which nobody misses."""
    try:
        attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
        return LABEL in attributes and attributes["finished"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _zarr(what: str) -> ModuleType:
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} needs zarr: pip install 'jacobians[zarr]'", name="zarr") from error
    return zarr  # type: ignore[no-any-return]  # it need not be installed


# which layer it is ----------------------------------------------------------------------------------------------------


def _matrix(layer: Any, max_bytes: int | None = None) -> tuple[SavedLayer | None, Any]:
    if issparse(layer):
        sparse: Any = layer
        return None, sparse.tocsr()
    label, operator = _labelled(layer, f"{NEEDS}, or a sparse array")
    return label, operator.matrix(max_bytes=max_bytes)


def _labelled(layer: object, needs: str) -> tuple[SavedLayer, LayerOperator | FilterOperator]:
    name = layer.name if isinstance(layer, ConvolutionLayer) else ""
    given = layer.operator() if isinstance(layer, ConvolutionLayer) else layer
    operator = instance("layer", given, LayerOperator | FilterOperator, needs)
    wrt = "image" if isinstance(operator, LayerOperator) else "filters"
    return SavedLayer(name, wrt, operator.geometry), operator


def _plain(label: SavedLayer) -> dict[str, Any]:
    """Return what JSON can say."""
    return dataclasses.asdict(label)


def _label(plain: dict[str, Any]) -> SavedLayer:
    if plain["wrt"] not in ("image", "filters"):
        raise ValueError(f"it is with respect to {plain['wrt']!r}")
    return SavedLayer(str(plain["name"]), plain["wrt"], Geometry(**plain["geometry"]))


# PyTorch --------------------------------------------------------------------------------------------------------------


def to_torch(layer: Any) -> Any:
    """Return a matrix as a sparse CSR tensor of PyTorch, on the CPU.

    Parameters
    ----------
    layer : ConvolutionLayer, LayerOperator, FilterOperator or sparse array
        As `save`.

    Returns
    -------
    torch.Tensor with layout torch.sparse_csr
        Of the same shape, dtype and index dtype. It shares the memory of the three arrays of the matrix: what is
        written to the one is written to the other. An array is copied if it is read-only, strided, or in another byte
        order; all three are if the matrix is not CSR, or if its indices are not sorted or have duplicates.

    Raises
    ------
    TypeError
        If `layer` is none of these.
    DtypeError
        If PyTorch has no such dtype, as it has none for longdouble.
    TooLargeError
        If the matrix does not fit into memory.
    ModuleNotFoundError
        If PyTorch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("to_torch needs PyTorch: pip install 'jacobians[torch]'", name="torch") from error
    _, matrix = _matrix(layer)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    try:
        parts = [torch.from_numpy(_shareable(each)) for each in (matrix.indptr, matrix.indices, matrix.data)]
    except TypeError as error:
        raise DtypeError(f"the matrix has dtype {matrix.dtype}, which PyTorch does not have; cast it first") from error
    with warnings.catch_warnings():
        # Once in a process, PyTorch warns whoever is first that such tensors may lack functions.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(*parts, size=matrix.shape, check_invariants=False)


def _shareable(array: Any) -> Any:
    """Return the same array, or a copy where PyTorch could not share it, or where writing to it is not allowed."""
    return np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements=["C", "W"])
