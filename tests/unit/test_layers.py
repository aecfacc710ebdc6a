"""What the import linter cannot see: the native core is no Python source."""

from __future__ import annotations

import ast
from pathlib import Path

import parasync


def test_one_module_imports_the_native_core() -> None:
    importers = set()
    for source in Path(parasync.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_bytes())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if any("_native" in name for name in names):
                importers.add(source.name)
    assert importers == {"kernels.py"}
