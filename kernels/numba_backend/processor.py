"""What the processor has, as far as compiled code depends on it: the width of vectors, and whether there is a matrix
unit.

``FASTNN_NUMBA_LANES`` names the vectors of another machine, one without a matrix unit, so that one machine can test the
code of all.
"""

import ctypes
import os
import sys

from numba.core import config
from numba.core.codegen import get_host_cpu_features

from .intrinsics import X86

_TILES = {"amx-tile", "amx-bf16"}
# Linux on x86-64: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
_REQUEST = 158, 0x1023, 18


def _features():
    # Numba's own idea of the CPU, which its settings can narrow.
    names = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return {name[1:] for name in names.split(",") if name.startswith("+")}


def _tiles_allowed():
    """Ask the system for the registers of the matrix unit, which a process and its children get on request."""
    if sys.platform != "linux":
        return False
    return ctypes.CDLL(None).syscall(*map(ctypes.c_long, _REQUEST)) == 0


FEATURES = _features()
FMA = "fma" in FEATURES or not X86
_wish = os.environ.get("FASTNN_NUMBA_LANES")
# float32 numbers in a vector.
LANES = int(_wish or (16 if "avx512f" in FEATURES else 8 if "avx2" in FEATURES else 4))
MATRIX_UNIT = not _wish and LANES == 16 and _TILES <= FEATURES and _tiles_allowed()
ROWS, VECTORS = (8, 3) if LANES == 16 else (6, 2) if X86 else (8, 2)
# Everything that is compiled into the code besides its source.
VARIANT = f"{LANES}x{ROWS}x{VECTORS}" + ("" if FMA else "-nofma") + ("-amx" if MATRIX_UNIT else "")


def instruction_set():
    """What compiled code uses, in words."""
    return (
        f"vectors of {LANES} float32"
        + (", and the matrix unit (AMX)" if MATRIX_UNIT else "")
        + (", as FASTNN_NUMBA_LANES says" if _wish else "")
    )
