"""The mutants of a module, made by Cosmic Ray's operators, each once."""

import ast
import functools
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Key", "Mutant", "function_at", "mutants", "one_line"]

# Cosmic Ray replaces each operator by every other. Most of these die at once: only what people exchange is taken.
BINARY = {
    "Add": "Sub Mul",
    "Sub": "Add",
    "Mul": "Add FloorDiv",
    "Div": "Mul",
    "FloorDiv": "Mul Mod",
    "Mod": "FloorDiv",
    "Pow": "Mul",
    "LShift": "RShift",
    "RShift": "LShift",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
}
COMPARISON = {
    "Eq": "NotEq LtE GtE",
    "NotEq": "Eq Lt Gt",
    "Lt": "LtE GtE",
    "LtE": "Lt Gt",
    "Gt": "GtE LtE",
    "GtE": "Gt Lt",
    "Is": "IsNot",
    "IsNot": "Is",
}
OTHERS = """NumberReplacer AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd
    ReplaceBreakWithContinue ReplaceContinueWithBreak ReplaceUnaryOperator_Delete_USub ReplaceUnaryOperator_Delete_Not
    ReplaceUnaryOperator_Delete_Invert ZeroIterationForLoop ExceptionReplacer RemoveDecorator"""
OPERATORS = [
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, others in BINARY.items() for new in others.split()),
    *(f"ReplaceComparisonOperator_{old}_{new}" for old, others in COMPARISON.items() for new in others.split()),
    *OTHERS.split(),
]


CACHE = re.compile(r"\b(lru_)?cache\b")

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Mutant:
    """A module of which one place is changed, named by what stands there and not by where it stands."""

    path: str
    function: str
    line: str
    becomes: str
    source: str

    @property
    def key(self) -> Key:
        """What the record of equivalents names."""
        return self.path, self.function, self.line, self.becomes


def mutants(root: Path, paths: Iterable[str], sample: int | None = None, seed: int = 0) -> Iterator[Mutant]:
    """Mutants that differ from the code, and from each other, in what they claim.

    Parameters
    ----------
    root : Path
        The folder that holds the package.
    paths : iterable of str
        The modules, relative to it.
    sample : int, optional
        How many are drawn from all of them; by default all, in the order of the code.
    seed : int
        The seed of the draw.
    """
    places = [place for path in paths for place in _places(path, (root / path).read_text("utf-8"))]
    if sample is not None:
        random.Random(seed).shuffle(places)
    seen: set[tuple[str, int, str | None]] = set()
    for place in places:
        if len(seen) == sample:
            return
        mutated = place.mutated()
        what = place.path, place.first, _meaning(mutated)
        if what[2] is not None and what[2] != _meaning(place.piece) and what not in seen:
            seen.add(what)
            yield place.mutant(mutated)


@dataclass(frozen=True)
class _Place:
    """Where an operator of Cosmic Ray applies: the how many-th time in a piece of the module."""

    path: str
    source: str
    first: int
    last: int
    head: str
    operator: type
    occurrence: int

    @property
    def piece(self) -> str:
        return self.head + "".join(self.source.splitlines(keepends=True)[self.first : self.last])

    def mutated(self) -> str:
        from cosmic_ray.mutating import mutate_code

        return mutate_code(self.piece, self.operator(), self.occurrence)

    def mutant(self, mutated: str) -> Mutant:
        lines, new = self.source.splitlines(keepends=True), mutated.removeprefix(self.head)
        at, line, becomes = _change(self.piece.removeprefix(self.head), new)
        function = function_at(ast.parse(self.source), self.first + at + 1)
        return Mutant(self.path, function, line, becomes, "".join([*lines[: self.first], new, *lines[self.last :]]))


def _places(path: str, source: str) -> Iterator[_Place]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    operators = [get_operator(f"core/{name}") for name in OPERATORS]
    for first, last, head in _pieces(ast.parse(source)):
        piece = _Place(path, source, first, last, head, object, 0).piece
        nodes = list(ast_nodes(get_ast(piece)))
        for operator in operators:
            count = sum(1 for node in nodes for _ in operator().mutation_positions(node))
            yield from (_Place(path, source, first, last, head, operator, number) for number in range(count))


def _pieces(tree: ast.Module | ast.ClassDef, head: str = "") -> Iterator[tuple[int, int, str]]:
    """The statements of a module, those of classes one by one: lines from, to, and what has to stand in front."""
    for node in tree.body:
        start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        if isinstance(node, ast.ClassDef):
            yield from _pieces(node, "class _:\n")
        else:
            yield start, node.end_lineno or 0, head


def _meaning(source: str) -> str | None:
    """What Python makes of the source, without what is no claim about results; None where it is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    return ast.dump(_Claims().visit(tree))


class _Claims(ast.NodeTransformer):
    """Takes out annotations, caches, and the assertion of `zip` that its arguments are equally long."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.decorator_list = [each for each in node.decorator_list if not CACHE.search(ast.unparse(each))]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [each for each in node.keywords if each.arg != "strict"]
        return self.generic_visit(node)


def _change(source: str, mutated: str) -> tuple[int, str, str]:
    """Where they differ, counted in lines from 0, and the text there before and after."""
    old, new = source.splitlines(), mutated.splitlines()
    same = next((n for n, (left, right) in enumerate(zip(old, new, strict=False)) if left != right), 0)
    end = next(n for n in range(len(old) + 1) if n == len(old) or old[len(old) - 1 - n] != new[len(new) - 1 - n])
    return same, one_line(old[same : len(old) - end]), one_line(new[same : len(new) - end])


def one_line(lines: list[str]) -> str:
    """The text of lines with single spaces."""
    text = re.sub(r"\s+", " ", " ".join(lines)).strip()
    return re.sub(r"([\[(]|(?<![ =!<>])=) (?=-?[\d.])", r"\1", text)  # Cosmic Ray writes [ 2] for [1]


def function_at(tree: ast.Module, number: int) -> str:
    """The dotted name of the innermost function or class that holds a line; empty at the module's own level."""
    return ".".join(name for first, last, name in _functions(tree) if first <= number <= last)


@functools.cache
def _functions(tree: ast.Module) -> list[tuple[int, int, str]]:
    """First line, last line and name of every function and class, outer ones first."""
    return sorted(
        (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or 0, node.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )
