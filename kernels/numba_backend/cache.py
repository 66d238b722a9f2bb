"""How functions are compiled: the decorators, and where compiled code is kept on disk.

Most of a compilation is Numba's own work, in proportion to the code it reads. So a network gets only what it uses: a
`routine` is compiled for itself, on first use, and kept in a file of its own; other routines call it by its address,
which `link` writes into the records. `jit` and `inline` are for the parts of routines.

Numba stores what it compiled and watches the file of the function itself, but not the files of what that calls. Ours
puts the hash of every source file of this folder and of the one above into the name of what it stores, so that any edit
makes a new file and no process can load code of another version. The folder is Numba's choice, in its order:
`NUMBA_CACHE_DIR`, `__pycache__` beside this file, the user's cache folder. Where none can be written, each process
compiles.
"""

import contextlib
import hashlib
import inspect
import sys
from pathlib import Path

from numba import from_dtype, njit, typeof, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock

from .layout import JOB, OP
from .processor import VARIANT

# Arrays here own nothing, so that nothing counts references to them.
_OPTIONS = {"error_model": "numpy", "boundscheck": False, "_nrt": False}


def inline(function):
    """Make a small function part of whatever calls it, before types are known."""
    return njit(inline="always", **_OPTIONS)(function)


def jit(function):
    """Compile a function for itself, once for each routine that calls it."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


def version(here):
    """Hash the sources in the folder `here`, and in the one above: codes of the tables are part of compiled code."""
    digest = hashlib.sha256()
    for path in [*sorted(here.glob("*.py")), *sorted(here.parent.glob("*.py"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


# Read with the modules: an edit while the process runs must not put its name on code that is older.
_VERSION = version(Path(__file__).parent)
_KIND = f"{VARIANT}-py{sys.version_info.major}{sys.version_info.minor}-"


_noticed = []


def _notice(rest):
    # Once a process: a network that comes later may need a routine more.
    if not _noticed:
        _noticed.append(rest)
        print(f"fastnn: compiling the numba backend, which takes some 10 s; {rest}", file=sys.stderr, flush=True)


class _Cache(FunctionCache):
    """A file for each function and each kind of arguments: processes that compile at a time cannot mix them up."""

    def __init__(self, function, kind):
        super().__init__(function)
        name = f"fastnn-{function.__module__.rpartition('.')[2]}.{function.__name__}-{kind}-{_KIND}{_VERSION}"
        self._cache_file = IndexDataCacheFile(self.cache_path, name, "")

    def load_overload(self, sig, target_context):
        found = None
        try:
            # Not `super().load_overload`, which first makes Numba ready to compile: that takes half a second, and the
            # compiler does it for itself.
            with self._guard_against_spurious_io_errors():
                found = self._load_overload(sig, target_context)
        except Exception:  # whatever reading half a file raises, which a machine may leave that went off meanwhile
            self.flush()
        if found is None:
            _notice(f"this happens once, the code is kept in {self.cache_path}")
        return found

    def save_overload(self, sig, data):
        super().save_overload(sig, data)
        # The folder belongs to this copy of the package alone: what other versions left there is of no more use.
        for path in Path(self.cache_path).glob(f"fastnn-*-{_KIND}*"):
            if _VERSION not in path.name:
                with contextlib.suppress(OSError):
                    path.unlink()


class Entry:
    """A function that Python calls, compiled on first use for each kind of arguments.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function):
        self.dispatcher = njit(nogil=True, **_OPTIONS)(function)
        self._ready = {}

    def function(self, kind, args):
        """The function for the types of `args`, compiled or loaded once for each `kind`. The dispatcher would look at
        all types again in each call."""
        if kind not in self._ready:
            self._ready[kind] = self._compile(kind, tuple(map(typeof, args))).entry_point
        return self._ready[kind]

    def _compile(self, kind, args, returns=None):
        with global_compiler_lock:
            try:
                self.dispatcher._cache = _Cache(self.dispatcher.py_func, kind)
            except (RuntimeError, OSError):
                _notice("no cache folder can be written, so that each process does; NUMBA_CACHE_DIR can name one")
            self.dispatcher.compile(returns(*args) if returns else args)
            return self.dispatcher.overloads[args]


_FIXED = {
    "job": from_dtype(JOB),
    "op": from_dtype(OP),
    "below": from_dtype(OP),
    "ops": types.Array(from_dtype(OP), 1, "C"),
    "team": types.UniTuple(types.int64, 2),
}


_INTEGERS = (
    "across", "apart", "batch", "chunk", "column", "columns", "depth", "first", "high", "j", "jump", "label", "labels",
    "last", "low", "mode", "number", "of_bias", "ready", "row", "rows", "start", "step", "thin", "width",
)  # fmt: skip


def _kind(name, real):
    """The type of a routine's argument, by its name."""
    if name in _FIXED:
        return _FIXED[name]
    if name in ("like", "alpha", "parameter", "scale"):
        return real
    if name in ("threshold", "stddev", "l1", "l2", "limit", "decay"):
        return types.float64
    if name in ("a", "b", "c", "s", "p", "x", "spare", "constants"):
        return types.CPointer(real)
    if name in ("z", "y", "t", "d", "g", "w", "m", "v", "gradient", "scratch", "numbers"):
        return types.Array(real, 1, "C")
    if name in _INTEGERS:
        return types.int64
    raise TypeError(f"which type an argument named {name!r} of a routine has is not known; `_kind` lists the names")


class Routine(Entry):
    """A function that compiled code calls by its address. It returns nothing, or, where it says so, a float64.

    Parameters
    ----------
    function : callable
        Its arguments have the types that `_kind` tells.
    """

    def __init__(self, function):
        super().__init__(function)
        self.dispatcher = jit(function)
        signature = inspect.signature(function)
        self._names = list(signature.parameters)
        self._returns = types.float64 if signature.return_annotation is float else types.none

    def address(self, dtype):
        """Where its code for float32 or float64 lies; it is compiled, or loaded, on the first call."""
        if dtype not in self._ready:
            real = from_dtype(dtype)
            code = self._compile(dtype, tuple(_kind(name, real) for name in self._names), self._returns)
            self._ready[dtype] = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
        return self._ready[dtype]


routine = Routine
