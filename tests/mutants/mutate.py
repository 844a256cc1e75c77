"""Makes the mutants of a module: every small change of its syntax tree that could go unnoticed.

A mutant has a name that says where it is and what it does, and does not depend on line numbers:
`form.py fits: needed <= names → needed < names`. The same change twice in one function is told apart by `#2`.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar, cast

Node = TypeVar("Node", bound=ast.AST)

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Add,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
WRAPPERS = {"sorted", "set", "list", "abs", "reversed"}
"""Calls that a mutant leaves out, keeping their argument."""


@dataclass(frozen=True)
class Mutant:
    """A module in which one node is another: `holder` is the list or object that holds it, at `place`."""

    name: str
    tree: ast.Module
    holder: Any
    place: int | str
    after: ast.AST

    def compile(self) -> CodeType:
        """The changed module's code."""
        before = self._put(self.after)
        try:
            return compile(ast.fix_missing_locations(self.tree), self.name, "exec")
        finally:
            self._put(before)

    def _put(self, node: ast.AST) -> ast.AST:
        if isinstance(self.place, int):
            before, self.holder[self.place] = self.holder[self.place], node
        else:
            before = getattr(self.holder, self.place)
            setattr(self.holder, self.place, node)
        return cast(ast.AST, before)


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of the file, in the order of its code."""
    tree = ast.parse(path.read_text())
    seen: Counter[str] = Counter()
    for node, holder, place, function in list(_walk(tree, "module")):
        for after in _changes(node):
            name = f"{path.name} {function}: {_short(node)} → {_short(after)}"
            seen[name] += 1
            yield Mutant(f"{name} #{seen[name]}" if seen[name] > 1 else name, tree, holder, place, after)


def _walk(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, Any, int | str, str]]:
    """Every node that may change, where it is held, and its function: no docstring, annotation, decorator or import."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases"}:
            continue
        places = enumerate(value) if isinstance(value, list) else [(field, value)]
        for place, child in places:
            if isinstance(child, ast.AST) and not _is_prose(child):
                yield child, value if isinstance(value, list) else node, place, function
                yield from _walk(child, child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else function)


def _is_prose(node: ast.AST) -> bool:
    """A docstring, an import, or the list of public names."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node becomes. A statement is left out by `pass`."""
    yield from _alternatives(node)
    if isinstance(node, ast.Raise | ast.Expr | ast.Assign | ast.AugAssign | ast.Continue):
        yield ast.Pass()


def _alternatives(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield _with(node, ops=[*ops[:at], other(), *ops[at + 1 :]])
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=str() as value):
            yield ast.Constant(f"{value}X")
        case ast.Constant(value=bytes() as value):
            yield ast.Constant(value + b"X")
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            yield from values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=op):
            if type(op) in ARITHMETIC:
                yield _with(node, op=ARITHMETIC[type(op)]())
            yield from (node.left, node.right)
        case ast.If() | ast.IfExp() | ast.While():
            yield from (_with(node, test=ast.Constant(value)) for value in (True, False))
        case ast.Return(value=ast.AST() as value) if not (isinstance(value, ast.Constant) and not value.value):
            yield _with(node, value=None)  # None for False or None would say the same
        case ast.Slice():
            yield from (_with(node, **{side: None}) for side in ("lower", "upper") if getattr(node, side))
        case ast.comprehension(ifs=[_, *_]):
            yield _with(node, ifs=[])
        case ast.ExceptHandler(type=ast.Tuple(elts=kinds)):
            for at in range(len(kinds)):
                yield _with(node, type=ast.Tuple([*kinds[:at], *kinds[at + 1 :]], ast.Load()))
        case ast.Call(func=ast.Name(id="all" | "any" as name)):
            yield _with(node, func=ast.Name("any" if name == "all" else "all", ast.Load()))
        case ast.Call(func=ast.Name(id=name), args=[only], keywords=[]) if name in WRAPPERS:
            yield only
        case ast.Call(keywords=[_, *_] as keywords):
            for at in range(len(keywords)):
                yield _with(node, keywords=[*keywords[:at], *keywords[at + 1 :]])
        case ast.Dict(keys=keys, values=values):
            for at in range(len(keys)):
                yield _with(node, keys=[*keys[:at], *keys[at + 1 :]], values=[*values[:at], *values[at + 1 :]])


def _with(node: Node, **fields: object) -> Node:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:70]} … {text[-25:]}"
