"""What is measured, as data: matrix products, vector operations, and whole training steps.

Every product and every step knows its floating-point operations; a step also the bytes of its update, and the time that
both take at best on a machine of a given peak and bandwidth. Sizes are counted in float32.
"""

from dataclasses import dataclass
from itertools import pairwise

from fastnn.kernels import losses, optimizers

REAL = 4  # bytes of a float32


@dataclass(frozen=True)
class Gemm:
    """One matrix product, ``(m, n) = op(a) (m, k) @ op(b) (k, n)``.

    Attributes
    ----------
    name : str
    m, n, k : int
    trans_a, trans_b : bool
        Whether a is stored as (k, m), and b as (n, k).
    quick : bool
        Whether ``--quick`` runs it.
    """

    name: str
    m: int
    n: int
    k: int
    trans_a: bool = False
    trans_b: bool = False
    quick: bool = False

    @property
    def flops(self):
        """Multiplications and additions."""
        return 2 * self.m * self.n * self.k


def training_gemms(label, sizes, batch, quick=False):
    """List the products of one training step: forward, weight gradients, input gradients (not of the first layer)."""
    layers = list(pairwise(sizes))
    named = [(f"{label} B={batch} {n_in}x{n_out}", i, n_in, n_out) for i, (n_in, n_out) in enumerate(layers)]
    return [
        *(Gemm(f"{name} forward", batch, n_out, n_in, quick=quick) for name, _, n_in, n_out in named),
        *(Gemm(f"{name} weights", n_in, n_out, batch, trans_a=True, quick=quick) for name, _, n_in, n_out in named),
        *(Gemm(f"{name} inputs", batch, n_in, n_out, trans_b=True, quick=quick) for name, i, n_in, n_out in named if i),
    ]


@dataclass(frozen=True)
class Workload:
    """One network with all that a training step of it needs.

    Attributes
    ----------
    name : str
        Short name of the network; with the batch size it is unique.
    sizes : tuple of int
        Widths from the inputs to the outputs.
    batch : int
        Rows of a batch.
    activation : str
        Of the hidden layers.
    dropout : float
        Rate after every hidden layer.
    last : str
        Activation of the output layer.
    loss, optimizer : str
        Names of table rows.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    activation: str = "relu"
    dropout: float = 0.0
    last: str = "softmax"
    loss: str = "sparse_categorical_crossentropy"
    optimizer: str = "adam"

    @property
    def id(self):
        """Name and batch size."""
        return f"{self.name}-b{self.batch}"

    @property
    def title(self):
        """What it is, for tables."""
        words = ["-".join(map(str, self.sizes)) + f" {self.activation}"]
        words += [f"dropout {self.dropout:g}"] if self.dropout else []
        words += [] if self.loss.endswith("crossentropy") else [self.loss]
        shown = {"adam": "Adam", "rmsprop": "RMSprop", "sgd": "SGD"}.get(self.optimizer, self.optimizer)
        return ", ".join([*words, shown, f"B={self.batch}"])

    @property
    def rate(self):
        """Learning rate: the optimiser's default."""
        return optimizers.BY_NAME[self.optimizer].rate

    @property
    def labels(self):
        """Whether targets are integer labels."""
        return losses.LOSS_BY_NAME[self.loss].labels

    @property
    def autoencoder(self):
        """Whether the targets are the inputs."""
        return self.sizes[0] == self.sizes[-1]

    @property
    def images(self):
        """Whether the inputs are bytes."""
        return self.sizes[0] == 784

    @property
    def n_params(self):
        """Weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.sizes))

    @property
    def flops(self):
        """Of the matrix products of one step; the rest is small beside them."""
        return sum(g.flops for g in training_gemms(self.name, self.sizes, self.batch))

    @property
    def bytes(self):
        """Of one update: parameters and optimiser state, read and written once."""
        return 2 * REAL * (1 + len(optimizers.BY_NAME[self.optimizer].slots)) * self.n_params

    def ideal(self, peak, bandwidth):
        """Seconds a step at `peak` FLOP/s and `bandwidth` bytes/s: products, then update."""
        return self.flops / peak + self.bytes / bandwidth

    def rows(self, limit=12_800, steps=2_000):
        """Rows to train on: whole batches, at most `limit` rows and `steps` steps."""
        return self.batch * max(1, min(limit // self.batch, steps))


_MLP128 = ("mlp128", (784, 128, 10))
_MLP900 = ("mlp900", (784, 900, 900, 10))
_AE = ("ae", (784, 256, 64, 16, 64, 256, 784))
_SIGMOID = ("sigmoid60", (784, 60, 60, 10))

_DROP = {"dropout": 0.5}
_SQUARED = {"last": "sigmoid", "loss": "mse"}
_SGD = {"activation": "sigmoid", "optimizer": "sgd", **_SQUARED}

WORKLOADS = (
    *(Workload(*_MLP128, batch) for batch in (32, 128, 512)),
    *(Workload(*_MLP900, batch, **_DROP) for batch in (32, 128, 512)),
    *(Workload(*_AE, batch, **_SQUARED) for batch in (128, 512)),
    *(Workload(*_SIGMOID, batch, **_SGD) for batch in (1, 32)),
    Workload("tabular", (32, 64, 64, 1), 256, last="linear", loss="mse"),
    Workload("rmsprop512", (784, 512, 512, 10), 128, dropout=0.2, optimizer="rmsprop"),
)

GEMMS = (
    *training_gemms(*_MLP128, 128, quick=True),
    *training_gemms(*_MLP900, 128, quick=True),
    *training_gemms(*_AE, 128),
    *(Gemm(f"cube {n}", n, n, n, quick=n == 512) for n in (512, 1024, 1536, 2048)),
)

# Rows and width of the layers that activations and losses run over; the first of each is what --quick runs.
ACTIVATION_SIZES = ((128, 900), (512, 784), (1, 60))
LOSS_SIZES = ((128, 10), (512, 784))
# Networks whose parameters the optimisers update.
OPTIMIZER_SIZES = ((784, 128, 10), (784, 900, 900, 10))
