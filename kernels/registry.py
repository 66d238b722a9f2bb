"""Name -> backend, loaded on first use, with the reason when one is unavailable."""

import difflib
import importlib
import os

from .backend import BackendUnavailable

# In the order in which "auto" tries them.
MODULES = {
    "cython": "cython_backend",
    "numba": "numba_backend",
    "numpy": "numpy_backend",
}

_loaded = {}  # name -> module, or the BackendUnavailable that loading it raised


def _load(name):
    if name not in _loaded:
        try:
            _loaded[name] = importlib.import_module(f"{__package__}.{MODULES[name]}")
        except BackendUnavailable as error:
            _loaded[name] = error
    return _loaded[name]


def get_backend(name="auto"):
    """Return a backend: a module with the functions of `fastnn.kernels.backend`.

    Parameters
    ----------
    name : {"auto", "cython", "numba", "numpy"}, default "auto"
        "auto" takes the environment variable ``FASTNN_BACKEND`` where it is set, cython where ``FASTNN_ISA`` is set,
        otherwise the first of cython, numba and numpy that is available.

    Returns
    -------
    module
        Its ``NAME`` is the backend's name.

    Raises
    ------
    ValueError
        If the name is unknown.
    BackendUnavailable
        If the backend was named and cannot run here; the message says why.
    """
    origin = ""
    if name == "auto" and os.environ.get("FASTNN_BACKEND"):
        name, origin = os.environ["FASTNN_BACKEND"], " in FASTNN_BACKEND"
    if name == "auto" and os.environ.get("FASTNN_ISA"):
        name, origin = "cython", ", which FASTNN_ISA asks for,"  # an explicit wish is not passed over
    if name == "auto":
        return next(b for b in map(_load, MODULES) if not isinstance(b, BackendUnavailable))
    if not isinstance(name, str) or name not in MODULES:
        near = difflib.get_close_matches(str(name), MODULES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown backend {name!r}{origin}; there are {['auto', *MODULES]}.{hint}")
    backend = _load(name)
    if isinstance(backend, BackendUnavailable):
        raise BackendUnavailable(f"the backend {name!r}{origin} is not available: {backend}")
    return backend


def backend_status():
    """Map every backend's name to None where it is available, otherwise to the reason why not."""
    loaded = {name: _load(name) for name in MODULES}
    return {name: str(b) if isinstance(b, BackendUnavailable) else None for name, b in loaded.items()}


def available_backends():
    """List the names of the backends that can run here, in the order in which "auto" prefers them."""
    return [name for name, reason in backend_status().items() if reason is None]
