"""Matrices as sparse tensors of PyTorch, which share the memory of NumPy's arrays."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from jacobians import DtypeError, Geometry, export
from jacobians.operators import filter_operator, layer_operator
from tests.strategies import distinct

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra test-torch")

GEOMETRY = Geometry((2, 5, 4), (3, 2, 3, 2), stride=(2, 1), padding=1)
F, X = distinct(GEOMETRY.filters), distinct(GEOMETRY.image)


def addresses(matrix):
    return [each.__array_interface__["data"][0] for each in (matrix.indptr, matrix.indices, matrix.data)]


def pointers(tensor):
    return [each.data_ptr() for each in (tensor.crow_indices(), tensor.col_indices(), tensor.values())]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8"])
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_a_tensor_shares_memory_and_multiplies_alike(dtype, index):
    matrix = layer_operator(F.astype(dtype), GEOMETRY).matrix()
    matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    tensor = export.to_torch(matrix)
    assert tensor.layout == torch.sparse_csr
    assert (tuple(tensor.shape), tensor.dtype, tensor.col_indices().dtype) == (
        matrix.shape,
        getattr(torch, dtype),
        getattr(torch, index),
    )
    assert pointers(tensor) == addresses(matrix)
    assert (tensor.to_dense().numpy() == matrix.toarray()).all()
    if dtype.startswith("float"):
        x = X.ravel().astype(dtype)
        assert ((tensor @ torch.from_numpy(x)).numpy() == matrix @ x).all()


def test_layers_and_operators_are_taken_too():
    for operator in (layer_operator(F, GEOMETRY), filter_operator(X, GEOMETRY)):
        assert (export.to_torch(operator).to_dense().numpy() == operator.matrix().toarray()).all()


def copied(matrix):
    """The tensor of a matrix that cannot be shared, which is left as it is."""
    before = [each.copy() for each in (matrix.indptr, matrix.indices, matrix.data)]
    tensor = export.to_torch(matrix)
    for a, b in zip(before, (matrix.indptr, matrix.indices, matrix.data), strict=True):
        assert (a == b).all()
    assert (tensor.to_dense().numpy() == matrix.toarray()).all()
    torch.sparse_csr_tensor(
        tensor.crow_indices(), tensor.col_indices(), tensor.values(), size=matrix.shape, check_invariants=True
    )
    return tensor


def test_what_cannot_be_shared_is_copied():
    matrix = layer_operator(F, GEOMETRY).matrix()
    matrix.indices.flags.writeable = False
    assert [a == b for a, b in zip(pointers(copied(matrix)), addresses(matrix), strict=True)] == [True, False, True]
    copied(csr_array((np.array([5, 7, 9]), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3)))
    copied(csr_array((np.array([5, 7, 9], ">i8"), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 3)))
    copied(matrix.tocsc().tocsr())


def test_a_dtype_that_pytorch_lacks_is_named():
    with pytest.raises(DtypeError, match=r"longdouble|float128"):
        export.to_torch(layer_operator(F.astype(np.longdouble), GEOMETRY))
