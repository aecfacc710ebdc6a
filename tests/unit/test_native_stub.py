"""The stub says what the module has: every name, and the name of every parameter."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import parasync
from parasync import _native

STUB = ast.parse((Path(parasync.__file__).parent / "_native.pyi").read_text("utf-8"))
SPECIAL = {"__init__", "__len__"}


def public(names: object) -> set[str]:
    return {name for name in names if not name.startswith("_") or name in SPECIAL}  # type: ignore[attr-defined]


def stub_names(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    found: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement
    return found


NAMES = stub_names(STUB.body)
CLASSES = {name: node for name, node in NAMES.items() if isinstance(node, ast.ClassDef)}


def is_property(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "property" for d in node.decorator_list)


def native_parameters(function: object) -> list[str]:
    """From the signature that opens the documentation of every native function."""
    signature = str(function.__doc__).splitlines()[0]
    inside = re.sub(r"\[[^\]]*\]", "", signature[signature.index("(") + 1 : signature.rindex(")")])
    return [part.split(":")[0].strip() for part in inside.split(",") if part.strip() not in {"", "/", "self"}]


def check_parameters(function: object, node: ast.FunctionDef) -> None:
    assert native_parameters(function) == [argument.arg for argument in node.args.args if argument.arg != "self"]


def test_the_module_has_the_names_of_the_stub() -> None:
    assert set(NAMES) == public(vars(_native))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_names_of_the_stub(name: str) -> None:
    assert set(stub_names(CLASSES[name].body)) == public(vars(getattr(_native, name)))


@pytest.mark.parametrize("name", CLASSES)
def test_members_are_what_the_stub_calls_them(name: str) -> None:
    native = getattr(_native, name)
    for member, node in stub_names(CLASSES[name].body).items():
        assert isinstance(node, ast.FunctionDef)
        assert isinstance(vars(native)[member], property) == is_property(node), member
        if not is_property(node):
            check_parameters(getattr(native, member), node)


@pytest.mark.parametrize("name", [name for name, node in NAMES.items() if isinstance(node, ast.FunctionDef)])
def test_functions_take_what_the_stub_says(name: str) -> None:
    node = NAMES[name]
    assert isinstance(node, ast.FunctionDef)
    check_parameters(getattr(_native, name), node)
