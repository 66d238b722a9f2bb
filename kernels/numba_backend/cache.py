"""`jit` for the inner functions, `Entry` for the ones that Python calls: compiled once a machine, kept on disk.

Numba stores what it compiled and watches the file of the function itself, but not the files of what that calls. Ours
puts the hash of every source file of this folder and of the one above into the name of what it stores, so that any edit
makes a new file and no process can load code of another version. The folder is Numba's choice, in its order:
`NUMBA_CACHE_DIR`, `__pycache__` beside this file, the user's cache folder. Where none can be written, each process
compiles.
"""

import contextlib
import hashlib
import sys
from pathlib import Path

from numba import njit, typeof
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock

from .microkernel import VARIANT

_OPTIONS = {"error_model": "numpy", "boundscheck": False}


_inner = set()  # names of the functions below


def inline(function):
    """Make a small inner function part of whatever calls it, before types are known: the quickest to compile."""
    return njit(inline="always", **_OPTIONS)(function)


def jit(function):
    """Compile an inner function, which Python never calls, for itself.

    To remain a function in machine code, too, it begins with `intrinsics.outlined()`.
    """
    _inner.add(function.__qualname__)
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


class _Library(JITCodeLibrary):
    """Numba optimises a function and makes machine code of it, then again within each function above it.

    Inner functions are left as they were translated: only the entry, which has taken them all in, is worth the time.
    """

    def _optimize_final_module(self):
        if self.name not in _inner:
            super()._optimize_final_module()

    def _finalize_final_module(self):
        if self.name not in _inner:
            super()._finalize_final_module()
        self._finalized = True


@contextlib.contextmanager
def _quick_compilation(target):
    """While it lasts, Numba compiles as `_Library` does; nobody else can compile meanwhile."""
    codegen = target.codegen()

    def get_executable(library, *others):
        if library.name not in _inner:
            return executable(library, *others)
        library.finalize()
        return [].append  # nobody calls it, but Numba keeps it as a key and wants something of this type

    with global_compiler_lock:
        usual, executable = codegen._library_class, target.get_executable
        codegen._library_class, target.get_executable = _Library, get_executable
        try:
            yield
        finally:
            codegen._library_class = usual
            del target.get_executable


def version(here):
    """Hash the sources in the folder `here`, and in the one above: codes of the tables are part of compiled code."""
    digest = hashlib.sha256()
    for path in [*sorted(here.glob("*.py")), *sorted(here.parent.glob("*.py"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


# Read with the modules: an edit while the process runs must not put its name on code that is older.
_VERSION = version(Path(__file__).parent)


def _notice(rest):
    print(f"fastnn: compiling the numba backend, which takes some 20 s; {rest}", file=sys.stderr, flush=True)


class _Cache(FunctionCache):
    def __init__(self, function):
        super().__init__(function)
        self._prefix = f"fastnn-{function.__name__}-{VARIANT}-py{sys.version_info.major}{sys.version_info.minor}-"
        self._cache_file = IndexDataCacheFile(self.cache_path, self._prefix + _VERSION, "")

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        if found is None:
            _notice(f"this happens once, the code is kept in {self.cache_path}")
        return found

    def save_overload(self, sig, data):
        super().save_overload(sig, data)
        # The folder belongs to this copy of the package alone: what other versions left there is of no more use.
        for path in Path(self.cache_path).glob(self._prefix + "*"):
            if not path.name.startswith(self._prefix + _VERSION):
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
        self._ready = set()

    def __call__(self, *args):
        return self.dispatcher(*args)

    def prepare(self, kind, args):
        """Compile or load the code for the types of `args`, once for each `kind`."""
        if kind in self._ready:
            return
        with global_compiler_lock:
            if not self._ready:
                try:
                    self.dispatcher._cache = _Cache(self.dispatcher.py_func)
                except (RuntimeError, OSError):
                    _notice("no cache folder can be written, so that each process does; NUMBA_CACHE_DIR can name one")
            with _quick_compilation(self.dispatcher.targetctx):
                self.dispatcher.compile(tuple(map(typeof, args)))
            self._ready.add(kind)
