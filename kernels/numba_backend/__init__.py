"""The Numba backend: the whole contract in Numba, with its own matrix product, for machines without a C compiler.

Reading order: `layout` (where everything lies), `processor` (what there is to compute with), `intrinsics` (what Numba
has no words for), `microkernel` (the register tile), `matmul` (loops of tiles), `matrix_unit` (products on it), `maths`
(elementary functions), `activations`, `losses`, `optimizers` (the compiled twins of the tables), `batch` (rows in and
out), `forward_pass`, `backward_pass`, `weights` (their gradients and updates), `lookahead` (batches of one row),
`penalties`, `noise`, `normalization` and `tied` (what the name says), `engine` (the loop over batches), `quantize`
(numbers back into bytes), `link` (which of all this a network needs), `cache` (how it is compiled, and kept on disk),
`threads` (the team) and `placement` (where it runs), `contract` (what the package exports), `products` and `probes`
(the caller's matrices, for tests and benchmarks).

Compiled code is entered by every thread of a team of our own, so Numba's threading layers are neither used nor
chosen: it is safe from several Python threads and after a fork, whatever the layer. Compiling takes some seconds,
once a machine, version and kind of network; see `cache`.
"""

from ..backend import BackendUnavailable

try:
    import numba
except ImportError as error:
    raise BackendUnavailable(f"numba cannot be imported ({error}); `pip install numba` would help") from error
if numba.config.DISABLE_JIT:
    raise BackendUnavailable("NUMBA_DISABLE_JIT is set, so that numba compiles nothing")

from .contract import (
    activate,
    activate_grad,
    dropout_mask,
    evaluate,
    expect,
    forward,
    gemm,
    load,
    loss,
    loss_grad,
    normal_noise,
    poison,
    quantize,
    retune,
    to_backend,
    to_host,
    train,
    update,
)
from .processor import instruction_set

NAME = "numba"

__all__ = [
    "NAME",
    "activate",
    "activate_grad",
    "dropout_mask",
    "evaluate",
    "expect",
    "forward",
    "gemm",
    "instruction_set",
    "load",
    "loss",
    "loss_grad",
    "normal_noise",
    "poison",
    "quantize",
    "retune",
    "to_backend",
    "to_host",
    "train",
    "update",
]
