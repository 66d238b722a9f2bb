"""Which backends can be tested here, and why the others cannot."""

import os

from fastnn.kernels import BackendUnavailable, get_backend
from fastnn.kernels.registry import MODULES

AVAILABLE = {}  # name -> module
UNAVAILABLE = {}  # name -> the reason that the backend gave
BROKEN = {}  # name -> the exception that importing it raised, which is never right

for _name in MODULES:
    try:
        _module = get_backend(_name)
        assert _name == _module.NAME  # a folder without a module in it imports, too
        AVAILABLE[_name] = _module
    except BackendUnavailable as error:
        UNAVAILABLE[_name] = str(error)
    except Exception as error:
        BROKEN[_name] = error

REQUIRED = [name for name in os.environ.get("FASTNN_REQUIRE_BACKENDS", "").replace(" ", "").split(",") if name]
REFERENCE = AVAILABLE["numpy"]
