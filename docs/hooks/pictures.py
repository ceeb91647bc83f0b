"""The pictures of the guide, drawn while the site is built."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from jacobians import Geometry, plots
from jacobians.models import layers
from jacobians.network import Network

LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
STRIDED = Geometry((1, 6, 6), (1, 1, 3, 3), stride=2, padding=1)
PLANES = Geometry((2, 4, 5), (1, 2, 2, 3))
FILTERS = Geometry((1, 4, 5), (2, 1, 2, 3))
GROUPED = Geometry((4, 6, 6), (6, 2, 3, 3), groups=2)
LARGE = Geometry((1, 64, 64), (1, 1, 3, 3))
NETWORK = Network([Geometry((3, 32, 32), (6, 3, 5, 5)), Geometry((6, 28, 28), (10, 6, 3, 3))], 10)

# A page shows one with ![what is to be seen](../pictures/NAME.svg)
PICTURES: dict[str, Callable[[], Any]] = {
    "image-matrix": lambda: plots.image_matrix(LECTURE),
    "filter-matrix": lambda: plots.filter_matrix(LECTURE),
    "filter-matrix-strided": lambda: plots.filter_matrix(STRIDED),
    "filter-matrix-large": lambda: plots.filter_matrix(LARGE),
    "image-matrix-planes": lambda: plots.image_matrix(PLANES),
    "filter-matrix-planes": lambda: plots.filter_matrix(PLANES),
    "jacobian-filters": lambda: plots.jacobian(FILTERS, wrt="filters"),
    "jacobian-image": lambda: plots.jacobian(FILTERS),
    "jacobian-grouped": lambda: plots.jacobian(GROUPED),
    "stack-matrix": lambda: plots.stack_matrix(1, Geometry((1, 4, 4), (3, 1, 3, 3))),
    "patch": lambda: plots.patch(LECTURE, row=5),
    "rotated-filter": lambda: plots.rotated_filter(LECTURE, pixel=14),
    "rotated-filter-corner": lambda: plots.rotated_filter(LECTURE, pixel=2),
    "network": lambda: plots.network(NETWORK),
    "spectrum": lambda: plots.spectrum(layers("lenet-5")),
}


@functools.cache
def drawn(name: str) -> bytes:
    """Draw a picture, once however often the site is built.

    Parameters
    ----------
    name : str
        One of `PICTURES`.

    Returns
    -------
    bytes
        An SVG file.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.svg")
        plots.save(PICTURES[name](), file)
        return file.read_bytes()


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pictures to the files of the site.

    Parameters
    ----------
    files : Files
        What the site is made of.
    config : MkDocsConfig
        Where it is built.

    Returns
    -------
    Files
        The same, with the pictures.
    """
    for name in PICTURES:
        files.append(File.generated(config, f"pictures/{name}.svg", content=drawn(name)))
    return files
