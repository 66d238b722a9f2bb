"""Who may import whom: kernels know nothing of fastnn, no circles, and nothing heavy before it is needed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"fastnn.kernels": ROOT / "kernels", "fastnn": ROOT / "fastnn"}


def module_name(path):
    """Dotted name of a source file, as it is imported."""
    package, folder = next((p, f) for p, f in FOLDERS.items() if path.is_relative_to(f))
    parts = [*package.split("."), *path.relative_to(folder).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(p): p for folder in FOLDERS.values() for p in sorted(folder.rglob("*.py"))}
KERNELS = [p for p in sorted((ROOT / "kernels").rglob("*")) if p.suffix in (".py", ".pyx", ".pxi", ".pxd")]


def absolute(node, module, is_package):
    """Modules that an import statement names, in full: for ``from a import b`` a.b where that is a module, else a."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base for alias in node.names]


def at_import_time(tree):
    """Import statements that run when the module is imported: all but those within functions."""
    queue = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            queue.extend(ast.iter_child_nodes(node))


def imports(module, everywhere=False):
    path = SOURCES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = (
        (n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)))
        if everywhere
        else at_import_time(tree)
    )
    return {name for node in nodes for name in absolute(node, module, path.name == "__init__.py")}


def test_the_sources_are_found():
    assert {"fastnn", "fastnn.kernels", "fastnn.kernels.plan", "fastnn.kernels.registry"} <= SOURCES.keys()
    assert "fastnn.kernels.activations" in imports("fastnn.kernels.plan")
    assert "fastnn.kernels.backend" in imports("fastnn.kernels")


@pytest.mark.parametrize("path", [p for p in KERNELS if p.suffix == ".py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_kernels_do_not_import_fastnn(path):
    ours = [n for n in imports(module_name(path), everywhere=True) if n == "fastnn" or n.startswith("fastnn.")]
    assert all(n == "fastnn.kernels" or n.startswith("fastnn.kernels.") for n in ours), ours
    # Nor by name, which works for one way of installing and not for the other.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)) and not getattr(n, "level", 0)]
    assert not any(re.match(r"(fastnn|kernels)\b", name) for n in named for name in absolute(n, "", False))


def test_cython_sources_do_not_import_fastnn():
    statement = re.compile(r"^\s*(from\s+(fastnn|kernels|\.\.\.)\b|c?import\s+(fastnn|kernels)\b)", re.M)
    assert statement.search("x = 1\n    from fastnn.layers cimport y")
    assert statement.search("import fastnn")
    for path in KERNELS:
        if path.suffix != ".py":
            assert not statement.search(path.read_text(encoding="utf-8")), path


def test_no_circles():
    graph = {module: imports(module) & SOURCES.keys() - {module} for module in SOURCES}
    done, path = set(), []

    def visit(module):
        if module in path:
            pytest.fail("circle of imports: " + " -> ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        path.append(module)
        for other in sorted(graph[module]):
            visit(other)
        done.add(path.pop())

    for module in graph:
        visit(module)


HEAVY = ("numba", "llvmlite", "sklearn", "scipy", "pooch", "requests", "matplotlib", "torch", "keras", "jax", "pandas")


@pytest.mark.parametrize("module", ["fastnn", "fastnn.kernels.numpy_backend", "fastnn.kernels.threads"])
def test_import_is_light(module):
    """Importing it loads nothing that only some of its users need."""
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {set(HEAVY)!r}))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
