"""The mutants of a module, made by Cosmic Ray's operators, each once."""

import ast
import re
from collections.abc import Iterator
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


def mutants(root: Path, path: str) -> Iterator[Mutant]:
    """All mutants of a module that differ from it and from each other in more than annotations."""
    source = (root / path).read_text("utf-8")
    lines, tree = source.splitlines(keepends=True), ast.parse(source)
    for first, last, head in _pieces(tree):
        piece = "".join(lines[first:last])
        for changed in _mutated(head + piece):
            mutated = changed.removeprefix(head)
            at, line, becomes = _change(piece, mutated)
            whole = "".join([*lines[:first], mutated, *lines[last:]])
            yield Mutant(path, function_at(tree, first + at + 1), line, becomes, whole)


def _pieces(tree: ast.Module | ast.ClassDef, head: str = "") -> Iterator[tuple[int, int, str]]:
    """The statements of a module, those of classes one by one: lines from, to, and what has to stand in front."""
    for node in tree.body:
        start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        if isinstance(node, ast.ClassDef):
            yield from _pieces(node, "class _:\n")
        else:
            yield start, node.end_lineno or 0, head


def _mutated(source: str) -> Iterator[str]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    seen = {_meaning(source), None}
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        for occurrence in range(sum(1 for node in nodes for _ in operator.mutation_positions(node))):
            mutated = mutate_code(source, operator, occurrence)
            if (meaning := _meaning(mutated)) not in seen:
                seen.add(meaning)
                yield mutated


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
    names = [
        (node.lineno, node.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and min([node.lineno, *(each.lineno for each in node.decorator_list)]) <= number <= (node.end_lineno or 0)
    ]
    return ".".join(name for _, name in sorted(names))
