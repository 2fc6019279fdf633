"""Small pieces: what a reader has to hold in the head at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "setpoint"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

MODULE_LINES = 500
FUNCTION_LINES = 80
PUBLIC_NAMES = 25
BANNED = {"base", "common", "helper", "helpers", "legacy", "misc", "util", "utils"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_about_one_thing(module: str) -> None:
    text = (SOURCE / module).read_text(encoding="utf-8")
    assert text.count("\n") <= MODULE_LINES
    names = sorted(_public_names(ast.parse(text)))
    assert len(names) <= PUBLIC_NAMES, names


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_on_a_screen(module: str) -> None:
    tree = ast.parse((SOURCE / module).read_text(encoding="utf-8"))
    long = {
        f"{node.name} (line {node.lineno})": lines
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_no_module_is_named_after_nothing() -> None:
    parts = {part.removesuffix(".py").strip("_") for module in MODULES for part in module.split("/")}
    assert parts & BANNED == set()


def _public_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found = [name]
            case ast.Assign(targets=targets):
                found = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                found = [name]
            case _:
                found = []
        yield from (name for name in found if not name.startswith("_"))
