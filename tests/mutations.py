"""Small changes to a module's code, one at a time: what `tests.mutants` tries out.

Docstrings, comments, annotations, imports, decorators, f-strings (nearly all are messages) and `raise` are left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

BINARY = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"), ast.Pow: ("**", "*"), ast.BitOr: ("|", "&"), ast.BitAnd: ("&", "|"),
}  # fmt: skip
COMPARISONS = {
    ast.Lt: ("<", ("<=", ">=")), ast.LtE: ("<=", ("<", ">")), ast.Gt: (">", (">=", "<=")), ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)), ast.NotEq: ("!=", ("==",)), ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)), ast.In: ("in", ("not in",)), ast.NotIn: (r"not\s+in", ("in",)),
}  # fmt: skip
NAMES = {
    "sum": "mean", "mean": "sum", "min": "max", "max": "min", "amin": "amax", "amax": "amin", "minimum": "maximum",
    "maximum": "minimum", "any": "all", "all": "any", "no_grad": "enable_grad", "log_softmax": "softmax",
    "softmax": "log_softmax", "logsumexp": "sum", "randn": "rand", "rand": "randn",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A source with the bytes start … end replaced."""

    start: int
    end: int
    new: str

    def of(self, source: str) -> str:
        text = source.encode()
        return (text[: self.start] + self.new.encode() + text[self.end :]).decode()


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a module that can be compiled, in the order of the text."""
    found = set(_Finder(source).of(ast.parse(source)))
    in_order = sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.new))
    return [mutant for mutant in in_order if _compiles(mutant.of(source))]


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


class _Finder:
    """Where nodes stand in a source, and what may take their place."""

    def __init__(self, source: str) -> None:
        self.text = source.encode()
        self.lines = [0]
        for line in self.text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def of(self, node: ast.AST) -> Iterator[Mutant]:
        """Mutants of a node and of all within it."""
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.JoinedStr):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            return
        if isinstance(node, ast.expr | ast.stmt):
            yield from self._here(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self.of(child)

    def _here(self, node: ast.expr | ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.BinOp() if type(node.op) in BINARY:
                old, new = BINARY[type(node.op)]
                yield from self._between(node.left, node.right, re.escape(old), new)
            case ast.AugAssign() if type(node.op) in BINARY:
                old, new = BINARY[type(node.op)]
                yield from self._between(node.target, node.value, re.escape(old), new)
            case ast.BoolOp():
                old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self._between(left, right, old, new)
            case ast.Compare():
                for left, right, op in zip([node.left, *node.comparators], node.comparators, node.ops, strict=False):
                    old, others = COMPARISONS[type(op)]
                    for new in others:
                        yield from self._between(left, right, old, new)
            case ast.UnaryOp():
                yield self._replaced(node, self._text(node.operand))
            case ast.Constant():
                yield from self._constant(node)
            case ast.Call():
                yield from self._call(node)
            case ast.If() | ast.IfExp() | ast.While() if not _type_checking(node.test):
                for truth in ("True", "False"):
                    yield self._replaced(node.test, truth)
            case ast.Expr():
                yield self._replaced(node, "pass")
            case ast.Attribute() | ast.Name():
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                if name in NAMES:
                    end = self._end(node)
                    yield Mutant(end - len(name.encode()), end, NAMES[name])

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        match node.value:
            case bool():
                yield self._replaced(node, str(not node.value))
            case int():
                yield self._replaced(node, str(node.value + 1))
                if node.value > 1:
                    yield self._replaced(node, str(node.value - 1))
            case float():
                yield self._replaced(node, repr(node.value + 1))
            case str():
                yield self._replaced(node, repr(node.value + "?"))

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        """A method without arguments not called; a keyword left out."""
        if isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
            yield Mutant(self._end(node.func.value), self._end(node), "")
        for keyword in node.keywords:
            end = self._end(keyword.value)
            comma = re.match(rb"\s*,\s*", self.text[end:])
            yield Mutant(self._start(keyword), end + (comma.end() if comma else 0), "")

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Mutant]:
        start, end = self._end(left), self._start(right)
        found = re.search(old.encode(), self.text[start:end])
        if found:
            yield Mutant(start + found.start(), start + found.end(), new)

    def _replaced(self, node: ast.expr | ast.stmt, new: str) -> Mutant:
        return Mutant(self._start(node), self._end(node), new)

    def _text(self, node: ast.expr) -> str:
        return self.text[self._start(node) : self._end(node)].decode()

    def _start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.lines[node.end_lineno - 1] + node.end_col_offset


def _type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
