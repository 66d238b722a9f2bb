"""The package: what the texts tell people to type, what a source distribution holds, and the public names."""

import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = {".py", ".md", ".toml", ".pyx", ".pxi", ".h", ".in", ".txt", ".yml", ".yaml", ".cfg", ""}


def tracked():
    """Files of the project, relative: those that git knows where there is git, otherwise all that look like it."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            pass
        else:
            return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]
    folders = ("fastnn", "kernels", "tests", "bench")
    inside = (path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts)
    return [path.relative_to(ROOT) for path in (*inside, *ROOT.glob("*.*")) if path.is_file()]


FILES = tracked()


# ---------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("command", ['pip install -e ".[plot]" && fastnn train', 'pip install -e ".[test]" && pytest'])
def test_readme_has_the_two_commands(command):
    assert command in README.splitlines()


def test_nobody_is_told_to_install_the_name_of_somebody_else():
    wrong = re.compile(r"(pip3?|pipx|uv|conda|poetry)\s+(\w+\s+)?(install|add)\s+([\"'-]\S*\s+)*[\"']?fastnn", re.I)
    for text in ("pip install fastnn", "pip install -U 'fastnn[plot]'", "uv pip install fastnn", "uv add fastnn"):
        assert wrong.search(text)
    assert not wrong.search('pip install -e ".[plot]" && fastnn train')
    files = [path for path in FILES if path.suffix in TEXT and path.name != Path(__file__).name]
    assert len(files) > 50
    for path in files:
        assert not wrong.search((ROOT / path).read_text(encoding="utf-8", errors="replace")), path


def test_readme_examples_run(tmp_path):
    first, second, third = re.findall(r"```python\n(.*?)```", README, re.S)
    between = """
import numpy as np
assert accuracy > 0.83, accuracy
assert probabilities.shape == (1000, 10) and probabilities.dtype == np.float32
np.testing.assert_array_equal(same.predict(x_test), probabilities)
assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
"""
    tail = "\nassert len(model.history.epoch) == 2 and 'val_f1_score' in model.history.history"
    assert "epochs=30" in second
    code = first + between + second.replace("epochs=30", "epochs=2") + tail
    if importlib.util.find_spec("sklearn"):
        assert "early_stopping" in third
        code += "\n" + third + "assert model.best_validation_score_ > 0.8"
    pytest.importorskip("matplotlib")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.png", "mlp.safetensors"]


def test_readme_places_exist():
    assert README.count("<!-- bench:begin -->") == README.count("<!-- bench:end -->") == 1
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for name in re.findall(r"`((?:fastnn|kernels|bench|tests|\.ci)/[\w./]*)`", text):
            assert (ROOT / name).exists(), name


def test_commands_in_the_texts_exist():
    from fastnn import cli

    (commands,) = (a.choices for a in cli._parser()._actions if hasattr(a, "choices") and isinstance(a.choices, dict))
    named = set(re.findall(r"`fastnn (\w+)", README))
    assert named == set(commands)


def test_environment_variables_are_documented_and_read():
    read = {
        name
        for path in FILES
        if path.suffix == ".py" and path.parts[0] in ("fastnn", "kernels")
        for name in re.findall(r"environ(?:\.get\(|\[)\"(FASTNN_\w+)\"", (ROOT / path).read_text(encoding="utf-8"))
    }
    documented = set(re.findall(r"^\| `(FASTNN_\w+)", README, re.M))
    assert documented <= read
    assert {name for name in read - documented if not name.startswith("FASTNN_NUMBA")} == set()


# ---------------------------------------------------------------------------------------------- packages


def test_manifest_covers_the_sources():
    """Every source of the package, the tests and the benchmarks matches a line of MANIFEST.in."""
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line]
    recursive = [(folder, patterns) for verb, folder, *patterns in lines if verb == "recursive-include"]
    excluded = [pattern for verb, *patterns in lines if verb == "global-exclude" for pattern in patterns]
    assert "*.c" in excluded
    for path in FILES:
        if path.parts[0] in ("fastnn", "kernels", "tests", "bench"):
            matching = [p for folder, patterns in recursive if path.is_relative_to(folder) for p in patterns]
            assert any(path.match(pattern) for pattern in matching), f"{path} would not be in a source distribution"
            assert not any(path.match(pattern) for pattern in excluded)


def test_nothing_generated_is_tracked():
    for path in FILES:
        assert path.suffix not in (".c", ".so", ".pyc", ".pyd"), path


def test_the_version_has_one_source():
    from importlib import metadata

    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == "fastnn-engine"
    assert "version" not in project["project"] and "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "fastnn.__version__"}
    assert metadata.version("fastnn-engine") == fastnn.__version__
    assert f"## {fastnn.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_all_packages_are_named_in_setup():
    """A folder with an __init__.py that setup.py does not name would be missing from wheels alone."""
    found = set()
    for folder, package in (("fastnn", "fastnn"), ("kernels", "fastnn.kernels")):
        for path in FILES:
            if path.parts[0] == folder and path.name == "__init__.py":
                found.add(".".join([package, *path.parent.parts[1:]]))
    assert found == set(re.findall(r'^ +"(fastnn[\w.]*)",$', (ROOT / "setup.py").read_text(encoding="utf-8"), re.M))


@pytest.mark.skipif(os.name != "posix", reason="looks for a script as POSIX systems name it")
def test_the_command_is_installed():
    script = Path(sys.executable).parent / "fastnn"
    if not script.exists():
        pytest.skip("fastnn is not installed in this environment's scripts")
    for command in ([str(script)], [sys.executable, "-m", "fastnn"]):
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, cwd=ROOT / "tests")
        assert result.stdout == f"fastnn {fastnn.__version__}\n"


# ---------------------------------------------------------------------------------------------- public names


def modules():
    """Public modules of fastnn, those of the backends aside."""
    names = [name for _, name, _ in pkgutil.iter_modules(fastnn.__path__, "fastnn.")]
    names += [name for _, name, _ in pkgutil.iter_modules(fastnn.datasets.__path__, "fastnn.datasets.")]
    return ["fastnn", *(name for name in names if not name.endswith("__main__"))]


@pytest.mark.parametrize("module", modules())
def test_public_names_exist_and_are_documented(module):
    if module == "fastnn.sklearn":
        pytest.importorskip("sklearn")
    module = importlib.import_module(module)
    assert inspect.getdoc(module), "the module has no docstring"
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if inspect.ismodule(thing) or name == "__version__" or not callable(thing):
            continue
        assert inspect.getdoc(thing), f"{name} has no docstring"
        if inspect.isclass(thing):
            for member, value in inspect.getmembers(thing, inspect.isfunction):
                if not member.startswith("_") and value.__module__.startswith("fastnn"):
                    assert inspect.getdoc(getattr(thing, member)), f"{name}.{member} has no docstring"


def test_all_is_complete():
    assert sorted(fastnn.__all__) == fastnn.__dir__()
    for name in fastnn.__all__:
        assert getattr(fastnn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = fastnn.nope
