"""Facts about this machine and this installation."""

import os
import platform

from . import kernels
from .kernels.threads import default_threads

_VECTORS = {
    "v2": "SSE4.2",
    "v3": "AVX2 and FMA",
    "v4": "AVX-512",
    "amx": "AVX-512 and the matrix unit",
    "generic": "what the compiler takes for granted",
}
DEPENDENCIES = ("numpy", "numba", "llvmlite", "tqdm", "pooch", "safetensors", "threadpoolctl", "matplotlib")
VARIABLES = ("FASTNN_BACKEND", "FASTNN_NUM_THREADS", "FASTNN_ISA", "FASTNN_DATA")


def engine(backend):
    """Describe a backend, given by name, in a few words."""
    if backend != "cython":
        return f"{backend} backend"
    variant = kernels.get_backend("cython").instruction_set()
    return f"{backend} backend ({instruction_set(variant)})"


def instruction_set(variant):
    """Describe a variant of the cython backend."""
    name = variant if variant in ("generic", "amx") else f"x86-64-{variant}"
    return f"{name}: {_VECTORS[variant]}"


def counted(number, what):
    """Return "1 thread", "2 threads" and so on."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def threads(wish=None):
    """Return the number of threads that would be used, and why."""
    if wish is not None:
        return wish, "as asked"
    count = default_threads()
    if os.environ.get("FASTNN_NUM_THREADS"):
        return count, "FASTNN_NUM_THREADS"
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    if count < allowed:
        return count, f"the control group's quota, on {allowed} CPUs"
    return count, f"the CPUs that this process may run on, of {os.cpu_count()}"


def compiler(version):
    """Name the compiler that reports a version."""
    # Clang says its name, GCC only a number.
    return f"GCC {version}" if version[:1].isdigit() else version


def processor():
    """Return the processor's name and kind."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("model name", "Model")):
                    return f"{line.split(':', 1)[1].strip()} ({platform.machine()})"
    except OSError:
        pass
    return platform.processor() or platform.machine()


def version(distribution):
    """Return the version of an installed distribution, or None."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
