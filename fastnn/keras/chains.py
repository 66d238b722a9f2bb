"""What a model is made of: a chain of layers, their shapes and their weights, which models may share.

A model is the engine's `Sequential` with copies of its layers. Layers that several models share have their weights
in the model that changed them last; the others fetch them before they compute.
"""

import numpy as np

from .. import sequential as engine
from .. import validation
from ..layer_base import snake_case
from . import display, seeds
from .arguments import FREE, lacks, refuse, spelled
from .base import Input, InputLayer
from .tensors import Array, KerasTensor, chain, only


class Chain(engine.Sequential):
    """A chain of layers from one input to one output. The arguments are those of `Model`, which can be trained, too."""

    @spelled(input="inputs", output="outputs")
    def __init__(self, inputs=None, outputs=None, name=None, trainable=True):
        refuse(type(self).__name__, {"trainable": trainable}, {"trainable": True}, ("inputs", "outputs", "name"))
        for method in ("train_step", "test_step", "compute_loss"):
            if hasattr(type(self), method):
                raise TypeError(f"{type(self).__name__} defines {method}, which is not supported: see compile and fit")
        super().__init__(seed=seeds.draw(), input_scale=1.0, name=name or seeds.unique_name(self._base_name()))
        self._parts = []  # layers and models
        self._leaves = []  # the layers alone, those of models in their place
        self._copies = {}  # of each leaf that computes: the engine's layer here
        self._seen = {}  # of each leaf: the number of the change that the weights here have
        self._choices = None
        self.input = self.output = None
        if (inputs is None) != (outputs is None):
            raise ValueError("Model takes inputs and outputs, or none of them in a subclass that defines call")
        if inputs is not None:
            self._connect(only(inputs, "Model"), only(outputs, "Model"))

    def _base_name(self):
        return snake_case(type(self).__name__)

    # ------------------------------------------------------------------------------------------ layers

    def _connect(self, inputs, outputs):
        parts = chain(inputs, outputs)
        first = inputs._layer if isinstance(inputs._layer, InputLayer) else InputLayer(inputs.shape[1:])
        self._attach(inputs.shape[1:], [first, *parts])
        self.input, self.output = inputs, outputs

    def _attach(self, shape, parts):
        """Take layers and models that follow one another, from samples of that shape."""
        for part in parts:
            for leaf in part._leaves if isinstance(part, Chain) else [part]:
                if leaf in self._copies:
                    raise ValueError(f"the layer {leaf.name!r} is used twice in one model, which is not supported")
                leaf._build(shape)
                if leaf._spec is not None:
                    copied = leaf._copy()
                    if not self._copies:
                        copied._declared_shape = shape
                    super().add(copied)
                    self._copies[leaf] = copied
                self._leaves.append(leaf)
                shape = leaf._shape_after(shape)
            self._parts.append(part)
        self._sample_shape = shape
        if not self._copies:
            return
        self._fetch()
        self._network.noise_seed = seeds.combined(leaf.seed for leaf in self._copies if hasattr(leaf, "seed"))
        if self._choices is not None:
            super().compile(*self._choices)

    def _copy_of(self, leaf):
        return self._copies[leaf]

    @property
    def layers(self):
        """The layers and models that it was put together from; without the input where `call` put them together."""
        called = type(self).call is not Chain.call
        return [part for part in self._parts if not (called and isinstance(part, InputLayer))]

    def __getattr__(self, name):
        """Say what there is."""
        raise lacks(self, name)

    def add(self, layer):
        """Refused: only a `Sequential` can grow."""
        raise AttributeError(f"{type(self).__name__} has no add: only a Sequential can grow")

    def get_layer(self, name=None, index=None):
        """Return the layer with a name, or with an index."""
        if (name is None) == (index is None):
            raise ValueError("get_layer needs either a name or an index")
        if index is not None:
            return self.layers[validation.integer("index", index, -len(self.layers), len(self.layers) - 1)]
        names = {layer.name: layer for layer in self.layers}
        return names[validation.choice("layer", name, names)]

    def call(self, inputs):
        """Call the layers on a tensor; a subclass may override it."""
        raise NotImplementedError(f"{type(self).__name__} has neither inputs and outputs nor a call(self, inputs)")

    def _need_built(self):
        if not self.built:
            raise RuntimeError(
                f"the model {self.name!r} has no weights yet: an Input, build(input_shape) or fit tells it its shape"
            )

    def build(self, input_shape):
        """Create the weights for samples of a shape, batch axis first."""
        shape = tuple(input_shape)
        self._build_for(shape[1:] if shape and shape[0] is None else shape)

    def _build_for(self, shape):
        if not self.built:
            start = Input(shape)
            self._connect(start, self.call(start))

    def __call__(self, inputs, training=None):
        """Append the model to the chain of a tensor, or compute the outputs of an array."""
        tensor = only(inputs, f"the model {self.name!r}")
        if not isinstance(tensor, KerasTensor):
            if training:
                raise ValueError("training=True is not supported outside fit")
            return Array(self.predict(np.asarray(tensor), verbose=0))
        self._build_for(tensor.shape[1:])
        if tensor.shape != self.input_shape:
            raise ValueError(f"the model {self.name!r} takes {self.input_shape}, got {tensor.shape}")
        return KerasTensor(self.output_shape, self, tensor)

    inputs = property(lambda self: [self.input], doc="The one input, in a list.")
    outputs = property(lambda self: [self.output], doc="The one output, in a list.")

    @property
    def trainable(self):
        """True; setting it to False, to freeze the model, is refused."""
        return True

    @trainable.setter
    def trainable(self, value):
        if not value:
            raise ValueError(f"the model {self.name!r} cannot be frozen: trainable=False is not supported")

    def compute_output_shape(self, input_shape):
        """Return the shape of the output for that of the input, both with the batch axis."""
        self.build(input_shape)
        return self.output_shape

    @property
    def output_shape(self):
        """Shape of the output, batch axis first: ``(None, ...)``."""
        self._need_built()
        return (None, *self._sample_shape)

    # ------------------------------------------------------------------------------------------ weights

    def _pull(self):
        """Fetch the weights that another model or a layer has changed."""
        stale = False
        for leaf, version in self._seen.items():
            home = leaf._home
            if home is not self and (leaf._version != version or (home is not None and home._network.live is not None)):
                stale = True
        if stale:
            self._fetch()

    def _fetch(self):
        super().set_weights([value for leaf in self._copies for value in leaf._trained()])
        self._seen = {leaf: leaf._version for leaf in self._copies}

    def _own(self):
        """Tell the layers that their weights are here, and new."""
        for leaf in self._copies:
            leaf._home, leaf._values = self, None
            leaf._version += 1
            self._seen[leaf] = leaf._version

    def count_params(self):
        """Return the number of parameters."""
        return sum(leaf.count_params() for leaf in self._copies)

    def get_weights(self):
        """Return copies of all weights as a list of arrays, layer by layer: kernel (n_in, n_out), bias (n_out,)."""
        self._need_built()
        return [weight for leaf in self._copies for weight in leaf.get_weights()]

    def set_weights(self, weights):
        """Replace all weights by as many arrays of the same shapes as `get_weights` returns."""
        self._need_built()
        rest, trained, statistics = list(weights), [], []
        for leaf in self._copies:
            count, total = len(leaf._specs(leaf._in)), len(leaf._shapes())
            trained += rest[:count]
            statistics.append(leaf._check_statistics(rest[count:total]))
            rest = rest[total:]
        super().set_weights(trained + rest)
        for leaf, values in zip(self._copies, statistics, strict=True):
            leaf._keep_statistics(values)
        self._own()

    @property
    def weights(self):
        """Copies of the weights, as arrays with a name."""
        return [weight for layer in self._copies for weight in layer.weights]

    variables = weights

    @property
    def trainable_weights(self):
        """Those of the weights that training changes."""
        return [weight for leaf in self._copies for weight in leaf.trainable_weights]

    @property
    def non_trainable_weights(self):
        """Those of the weights that no optimizer changes, as the mean of a `Normalization`."""
        return [weight for leaf in self._copies for weight in leaf.non_trainable_weights]

    trainable_variables, non_trainable_variables = trainable_weights, non_trainable_weights
    losses = property(lambda self: [], doc="Empty: penalties are part of the loss.")

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
                layer_range=None):  # fmt: skip
        """Print a table of the layers: name and type, output shape, number of parameters."""
        given = {"positions": positions, "expand_nested": expand_nested, "show_trainable": show_trainable,
                 "layer_range": layer_range, "line_length": line_length}  # fmt: skip
        refuse("summary", given, {**dict.fromkeys(given), "expand_nested": False, "show_trainable": False,
                                  "line_length": FREE}, ("print_fn",))  # fmt: skip
        rows = []
        for part in self.layers:
            shape = str(part.output_shape) if part.built else "?"
            kind = "Functional" if type(part).__name__ == "Model" else type(part).__name__
            count = f"{part.count_params():,}" if part.built else "0 (unbuilt)"
            rows.append((f"{part.name} ({kind})", shape, count))
        n = sum(weight.size for weight in self.trainable_weights)
        totals = [("Trainable params", n), ("Non-trainable params", self.count_params() - n)]
        if self.built and self.optimizer is not None and self._network.step:
            totals.append(("Optimizer params", n * len(self._network.state) + 2))
        text = display.table(self.name, rows, [("Total params", sum(t[1] for t in totals)), *totals])
        (print_fn or print)(text)
