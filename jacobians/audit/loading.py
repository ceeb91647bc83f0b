"""From a name, ``FILE.py:name`` or ``package.module:name``, to the object, in the process that runs it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from jacobians.audit.subject import said
from jacobians.errors import nearest

__all__ = ["Method", "as_method", "load", "load_both"]


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of a class of which an object has to be made first."""

    owner: type
    name: str

    def __call__(self, *_: Any) -> Any:
        """Refuse: there is no object yet."""
        raise TypeError(
            f"{self.owner.__name__}.{self.name} is a method; make an object of {self.owner.__name__} before you call it"
        )


def as_method(function: Any) -> Any:
    """Return the method of a class that a function is, if it is one that takes an object of it; else the function."""
    outer, _, name = str(getattr(function, "__qualname__", "")).rpartition(".")
    if (
        not inspect.isfunction(function)
        or not outer
        or next(iter(inspect.signature(function).parameters), "") != "self"
    ):
        return function
    owner: Any = sys.modules.get(function.__module__)
    for part in outer.split("."):
        owner = getattr(owner, part, None)
    return Method(owner, name) if isinstance(owner, type) else function


def load_both(forward: str, backward: str | None) -> tuple[Any, Any]:
    """Load a forward pass, ``-`` behind the colon being none, and a backward pass, perhaps named by its name alone."""
    where, _, called = forward.rpartition(":")
    first = None if called == "-" else load(where, called)
    if backward is None:
        return first, None
    other, _, called = backward.rpartition(":")
    return first, load(other or where, called)


def load(where: str, called: str) -> Any:
    """Load an object.

    Parameters
    ----------
    where : str
        A Python file, or a module that can be imported from the current folder or the environment.
    called : str
        A name in it, with dots for what is inside of a class or an object.

    Returns
    -------
    object
        A `Method` for one that needs an object of its class.

    Raises
    ------
    ValueError
        If there is none, or what is loaded raises, with what it raised.
    """
    module = _module(where)
    found: Any = module
    owner: Any = None
    for part in called.split("."):
        known = vars(found) if inspect.ismodule(found) else dict.fromkeys(dir(found))
        try:
            found, owner = getattr(found, part), found
        except AttributeError:
            _refuse(where, called, part, known, found)
    if isinstance(owner, type) and inspect.isfunction(inspect.getattr_static(owner, called.rpartition(".")[2])):
        return Method(owner, called.rpartition(".")[2])
    if not callable(found) and not any(callable(getattr(found, each, None)) for each in ("forward", "backward")):
        _refuse(where, called, called, vars(module), module)
    return found


def _refuse(where: str, called: str, part: str, known: Any, found: Any) -> None:
    names = [each for each in known if not each.startswith("_") and callable(getattr(found, each, None))]
    raise ValueError(
        f"{where} has no function {called!r}" + (nearest(part, names) or f"; it has {', '.join(names) or 'none'}")
    )


@functools.lru_cache(maxsize=16)
def _module(where: str) -> ModuleType:
    path = Path(where)
    if path.suffix == ".py" or path.is_file():
        return _of_file(where, path)
    if not all(each.isidentifier() for each in where.split(".")):
        raise ValueError(f"{where} does not exist; name a Python file, or a module that can be imported")
    sys.path.insert(0, str(Path.cwd()))
    if importlib.util.find_spec(where.partition(".")[0]) is None:
        raise ValueError(
            f"{where} does not exist; name a Python file, such as conv.py, or a module that can be imported from here"
        )
    return _imported(where, where)


def _of_file(where: str, path: Path) -> ModuleType:
    """Load a file: of a package, by its dotted name, else as if it were run from its own folder."""
    if not path.is_file():
        raise ValueError(f"{where} does not exist; name a Python file")
    file = path.resolve()
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    sys.path.insert(0, str(folder))
    if len(parts) > 1 or file.stem == "__init__":
        module = _imported(".".join(parts), where)
        if Path(module.__file__ or "").resolve() == file:
            return module
    # Another module of this name is there already, or there is no package.
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{where} is not a Python file; its name needs to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    sys.modules.setdefault(file.stem, module)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # whatever the file does wrong is the user's to know
        raise ValueError(f"{where} does not load: {said(error)}") from error
    return module


def _imported(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:  # whatever the module does wrong is the user's to know
        raise ValueError(f"{where} does not load: {said(error)}") from error
