"""`fastnn info`: what runs here, and why."""

import os
import platform
import sys

from .. import __version__, datasets, kernels
from ..diagnostics import DEPENDENCIES, VARIABLES, compiler, instruction_set, processor, threads, version
from .data import where


def add(commands):
    """Add the sub-command, which has no arguments."""
    commands.add_parser(
        "info",
        help="what runs here, and why",
        description="Tell version, processor, compiler, instruction sets, threads, backends (and why one is missing),\n"
        "dependencies and data sets: what a bug report should begin with.",
    )


def run(args):
    """Run the sub-command."""
    print(f"fastnn         {__version__} ({os.path.dirname(os.path.dirname(__file__))})")
    print(f"python         {platform.python_version()} {platform.python_implementation()} ({sys.executable})")
    print(f"platform       {platform.platform()}")
    print(f"processor      {processor()}")
    try:
        print("threads        {}: {}".format(*threads()))
    except ValueError as error:
        print(f"threads        not known: {error}")
    _print_backends()
    print("\ndependencies")
    for name in DEPENDENCIES:
        print(f"  {name:<15} {version(name) or _missing(name)}")
    print("\ndata sets")
    for name in datasets.names():
        print(f"  {name:<19} {where(name)}")
    print("\nenvironment")
    for name in VARIABLES:
        print(f"  {name:<19} {os.environ.get(name) or 'not set'}")


def _print_backends():
    status = kernels.backend_status()
    print("\nbackends")
    for name, reason in status.items():
        print(f"  {name:<12} {'available' if reason is None else f'not available: {reason}'}")
    wish = os.environ.get("FASTNN_BACKEND")
    try:
        print(f'  "auto" is    {kernels.get_backend().NAME}{", as FASTNN_BACKEND says" if wish else ""}')
    except (ValueError, ImportError) as error:
        print(f'  "auto" fails: {error}')
    if status["numba"] is None:
        print(f"\nnumba backend\n  in use             {kernels.get_backend('numba').instruction_set()}")
    try:
        from ..kernels.cython_backend import _pool
    except ImportError:
        return
    print("\ncython backend")
    print(f"  built by           {compiler(_pool.compiler())}")
    if status["cython"] is None:
        backend = kernels.get_backend("cython")
        forced = ", as FASTNN_ISA says" if os.environ.get("FASTNN_ISA") else ", the best of both"
        print(f"  built              {' '.join(backend.variants())}")
        print(f"  runnable here      {' '.join(_pool.instruction_sets())}")
        print(f"  in use             {instruction_set(backend.instruction_set())}{forced}")
    else:
        print(f"  runnable here      {' '.join(_pool.instruction_sets())}")


def _missing(distribution):
    if distribution == "matplotlib":
        return 'not installed; the pictures need it: pip install -e ".[plot]"'
    return "missing"
