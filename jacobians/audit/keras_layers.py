"""Convolutions of Keras, classes and objects, as they are; Keras is not loaded here."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from jacobians.arguments import flag
from jacobians.audit.frameworks import in_framework
from jacobians.audit.programs import Bound, Wanted
from jacobians.errors import CallError
from jacobians.formula.layouts import SPATIAL

__all__ = ["is_keras", "of_keras"]

# Keras has these by the name of its backend; of TensorFlow's arrays, nothing is known here.
BACKENDS = ("torch", "jax")


def is_keras(function: Any) -> bool:
    """Whether it is a convolution of Keras, or the class of one."""
    keras = sys.modules.get("keras")
    layers = getattr(keras, "layers", None)
    kinds = tuple(getattr(layers, f"Conv{rank}D") for rank in (1, 2, 3) if hasattr(layers, f"Conv{rank}D"))
    return bool(kinds) and issubclass(function if isinstance(function, type) else type(function), kinds)


def of_keras(given: Any, wanted: Wanted) -> tuple[Bound, str]:
    """Make functions of NumPy arrays, and return the layout that they have.

    Parameters
    ----------
    given : keras.layers.Conv2D or such a class
        An object has its own options, whatever planes, filters and taps it is made for: a layer like it is made for
        every shape.
    wanted : Wanted
        What was asked for.

    Returns
    -------
    Bound, str
        The functions, with F and b in the place of the kernel and the bias; the layout.

    Raises
    ------
    CallError
        If Keras runs on arrays that are not known, or an option contradicts the object.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise CallError(f"Keras runs on {backend}; audit its layers on torch or jax: KERAS_BACKEND=torch")
    own = not isinstance(given, type)
    kind = type(given) if own else given
    asked = dataclasses.replace(wanted, padding="same-tf" if wanted.padding == "same" else wanted.padding)
    bias = (given.use_bias if own else True) if wanted.bias is None else flag("bias", wanted.bias)
    options = asked.options(_options(given) if own else {}, bias=bias)
    if options.padding is not None and any(each for pair in options.padding for each in pair):
        raise CallError(f"padding is {wanted.padding}, but layers of Keras have valid and same: --padding same-tf")
    config: dict[str, Any] = given.get_config() if own else {"strides": options.stride, "groups": options.groups}
    if not own:
        config |= {"dilation_rate": options.dilation, "padding": "valid" if options.padding else "same"}
    config |= {"use_bias": bias, "dtype": options.dtype}

    def forward(X: Any, F: Any, *b: Any) -> Any:
        layer = kind.from_config({**config, "filters": F.shape[-1], "kernel_size": tuple(F.shape[:-2])})
        layer.build(tuple(X.shape))
        return layer.stateless_call([F, *b], [], X)[0]

    first = (given.data_format if own else keras.config.image_data_format()) == "channels_first"
    spatial = SPATIAL[-options.spatial_ndim :]
    images = f"NC{spatial}" if first else f"N{spatial}C"
    pair = in_framework(backend, forward, dtype=options.dtype if backend == "torch" else None, bias=bias)
    name = f"{kind.__name__}({', '.join(f'{key}={config[key]!r}' for key in ('strides', 'padding'))}, …)"
    note = f"it is called as {name} with F{' and b' * bias} in the place of its kernel{' and bias' * bias}"
    functions = dict(zip(("forward", "backward"), pair, strict=True))
    return Bound(functions, options, (note,)), f"{images},{spatial}IO->{images}"


def _options(layer: Any) -> dict[str, Any]:
    """Return the options of an object; its "same" is TensorFlow's."""
    padding = {"valid": 0, "same": "same-tf"}.get(layer.padding, layer.padding)
    return {"stride": layer.strides, "padding": padding, "dilation": layer.dilation_rate, "groups": layer.groups}
