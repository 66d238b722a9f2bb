"""The layers of a model, their shapes, their weights, and what they predict."""

import math
import secrets
import time

import numpy as np

from . import layers as layers_module
from . import losses, mapped, network, sources, validation
from .kernels.plan import OP_IN
from .layer_base import snake_case
from .metrics import Results
from .scaling import InputScaling

_UINT8_SCALE = 1.0 / 255.0
# What numbers that are bytes times something are most often times, besides the model's own scale.
_USUAL_SCALES = (_UINT8_SCALE, 1.0)


class LayerStack:
    """What `Sequential` is without training: layers, shapes, weights and predictions."""

    def __init__(
        self,
        layers=None,
        *,
        seed=None,
        backend="auto",
        dtype="float32",
        threads=None,
        input_scale="auto",
        name=None,
    ):
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, got {name!r}")
        self.name = name or type(self).__name__.lower()
        seed = secrets.randbits(63) if seed is None else validation.integer("seed", seed, low=0, high=2**63 - 1)
        if threads is not None:
            threads = validation.integer("threads", threads, low=1, high=1024)
        if isinstance(input_scale, str) and input_scale == "auto":
            self._input_scale = _UINT8_SCALE
        else:
            self._input_scale = validation.number("input_scale", input_scale)
        self._network = network.Network(validation.real_dtype(dtype), seed, backend, threads)
        self._layers = []
        self._input_shape = None
        self._inputs = self._outputs = self._last_op = None  # widths, and the last operation, once built
        self._changed()
        if not isinstance(layers, (list, tuple, type(None))):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        for layer in layers or ():
            self._check_layer(layer)
        for layer in layers or ():
            self.add(layer)

    # ------------------------------------------------------------------------------------------ layers

    def add(self, layer):
        """Append a layer. A compiled model must be compiled again.

        Parameters
        ----------
        layer : Layer

        Raises
        ------
        TypeError
            If it is not a layer.
        ValueError
            If the layer belongs to a model already, or its name does.
        """
        self._not_in_fit("add")
        self._check_layer(layer)
        if self._layers and layer._declared_shape is not None:
            raise ValueError(f"only the first layer of a model has an input shape, got {layer!r}")
        self._append(layer)
        shape = self._input_shape or self._layers[0]._declared_shape
        if shape is not None:
            try:
                self._build(shape)
            except BaseException:
                self._layers.pop()._owned = False
                raise
        self._changed()

    @staticmethod
    def _check_layer(layer):
        if not isinstance(layer, layers_module.Layer):
            raise TypeError(f"a layer must be an instance of fastnn.layers.Layer, got {layer!r}")
        if layer._owned:
            raise ValueError(f"the layer {layer!r} belongs to a model already; make a new one")

    def _append(self, layer):
        taken = {other.name for other in self._layers}
        if layer.name is None:
            base = snake_case(type(layer).__name__)
            numbered = (f"{base}_{i}" if i else base for i in range(len(self._layers) + 1))
            layer.name = next(candidate for candidate in numbered if candidate not in taken)
        elif layer.name in taken:
            raise ValueError(f"the name {layer.name!r} belongs to another layer of the model")
        if isinstance(layer, InputScaling) and not all(
            isinstance(other, (layers_module.Input, layers_module.Flatten)) for other in self._layers
        ):
            raise ValueError(f"{layer!r} scales inputs: it has to be the first layer of a model")
        layer.attach(self._layers)
        layer._owned = True
        self._layers.append(layer)

    def _changed(self):
        """Forget what was compiled for other layers."""
        self._optimizer = self._loss = self._metrics = None
        self._plans = {}
        self._scaling = next((layer for layer in self._layers if isinstance(layer, InputScaling)), None)
        self._network.drop()

    @property
    def layers(self):
        return list(self._layers)

    def get_layer(self, name=None, index=None):
        """Return the layer with a name, or with an index."""
        if (name is None) == (index is None):
            raise ValueError("get_layer needs either a name or an index")
        if index is not None:
            return self._layers[validation.integer("index", index, -len(self._layers), len(self._layers) - 1)]
        names = {layer.name: layer for layer in self._layers}
        return names[validation.choice("layer", name, names)]

    def _build(self, input_shape, initial=True):
        done = sum(layer._shapes is not None for layer in self._layers)
        self._network.extend(self._layers, done, input_shape, initial)
        self._input_shape = input_shape
        plan, _ = network.builder(self._layers, input_shape)
        self._inputs, self._outputs = math.prod(input_shape), plan.width
        self._last_op = max(plan.n_ops, 1) - 1

    def build(self, input_shape):
        """Create the weights of a model whose first layer has no input shape.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of a sample; a leading None for the batch axis is allowed.
        """
        if isinstance(input_shape, (tuple, list)) and len(input_shape) > 1 and input_shape[0] is None:
            input_shape = input_shape[1:]
        shape = validation.shape("input_shape", input_shape)
        if self._input_shape is None:
            self._need_layers()
            self._build(shape)
        elif shape != self._input_shape:
            raise ValueError(f"the model is built already, with the input shape {self._input_shape}, not {shape}")

    @property
    def built(self):
        """Whether the weights exist."""
        return self._input_shape is not None

    def _need_layers(self):
        if not self._layers:
            raise RuntimeError("the model has no layers; add some first")

    def _need_built(self):
        self._need_layers()
        if not self.built:
            raise RuntimeError(
                "the model is not built yet: give its first layer an input_shape, or call build() or fit() first"
            )

    def _not_in_fit(self, what):
        if self._network.live is not None:
            raise RuntimeError(f"{what}() cannot run while the model is in fit()")

    @property
    def input_shape(self):
        """Shape of the input, batch axis first: ``(None, ...)``."""
        self._need_built()
        return (None, *self._input_shape)

    @property
    def output_shape(self):
        """Shape of the output, batch axis first: ``(None, outputs)``."""
        self._need_built()
        return (None, *network.shapes(self._layers, self._input_shape)[-1])

    dtype = property(lambda self: self._network.dtype.name, doc="Name of the dtype of weights and computations.")
    input_scale = property(lambda self: self._input_scale, doc="What uint8 inputs are multiplied by.")
    seed = property(lambda self: self._network.seed, doc="The seed that everything random comes from.")
    backend = property(lambda self: self._network.backend.NAME, doc="Name of the backend that computes.")

    # ------------------------------------------------------------------------------------------ weights

    @property
    def params(self):
        """All weights as one flat vector (P,), layer by layer, in the order of `get_weights`; read-only."""
        self._need_built()
        view = self._network.host().view()
        view.flags.writeable = False
        return view

    def _pull(self):
        """Fetch the weights, where they are kept elsewhere."""

    def count_params(self):
        """Return the number of parameters, with those that no optimizer changes."""
        self._need_built()
        return sum(layer.count_params() for layer in self._layers)

    def get_weights(self):
        """Return copies of all weights as a list of arrays, layer by layer; see `Layer.get_weights`."""
        self._need_built()
        return [weight for layer in self._layers for weight in layer.get_weights()]

    def set_weights(self, weights):
        """Replace all weights.

        Parameters
        ----------
        weights : list of array_like
            As many and of the same shapes as `get_weights` returns; finite.

        Raises
        ------
        ValueError, TypeError
            If they do not fit. Nothing has changed then.
        """
        self._need_built()
        count = sum(len(layer._spans) for layer in self._layers)
        if not isinstance(weights, (list, tuple)) or len(weights) != count:
            got = f"{len(weights)} arrays" if isinstance(weights, (list, tuple)) else repr(weights)
            raise ValueError(f"the model has {count} weights, got {got}")
        todo = iter(weights)
        parts = [
            value.ravel() for layer in self._layers for value in layer.check_weights([next(todo) for _ in layer._spans])
        ]
        self._network.write(np.concatenate([np.empty(0, self._network.dtype), *parts]))

    def summary(self, print_fn=print):
        """Print a table of the layers: name and type, output shape, number of parameters."""
        self._need_layers()
        rows = []
        for layer in self._layers:
            shape = str(layer.output_shape) if self.built else "?"
            count = f"{layer.count_params():,}" if self.built else "?"
            rows.append((f"{layer.name} ({type(layer).__name__})", shape, count))
        head = ("Layer (type)", "Output shape", "Param #")
        widths = [max(len(row[i]) for row in [head, *rows]) + 2 for i in range(3)]
        rule = "-" * sum(widths)
        lines = [f'Model: "{self.name}"', rule]
        lines += ["".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [head]]
        lines.append(rule)
        lines += ["".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.append(rule)
        if self.built:
            total, fixed = self.count_params(), sum(layer.count_fixed() for layer in self._layers)
            for what, count in (("Total", total), ("Trainable", total - fixed), ("Non-trainable", fixed)):
                lines.append(f"{what} params: {count:,} ({count * self._network.dtype.itemsize / 1024:,.2f} KB)")
        else:
            lines.append("Total params: unknown until the model is built")
        print_fn("\n".join(lines))

    # ------------------------------------------------------------------------------------------ inference

    def _make_plan(self, optimizer, loss, chosen, row, scale, input_shape, input_scale=None):
        builder, _ = network.builder(self._layers, input_shape)
        return builder.build(
            loss=row,
            metrics=Results(chosen, row, builder.width).rows,
            optimizer=optimizer.kernel if optimizer else "sgd",
            hyper=optimizer.hyper if optimizer else None,
            dtype=self._network.dtype,
            from_logits=loss.from_logits,
            input_scale=self.input_scale if input_scale is None else input_scale,
            target_scale=scale,
            loss_parameter=loss.parameter,
            clip=optimizer.clip if optimizer else (0.0, 0.0, 0.0),
            decay=optimizer.decays(network.weights(self._layers, input_shape)) if optimizer else None,
        )

    def _inference_plan(self, row=None, scale=1.0, input_scale=None):
        input_scale = self.input_scale if input_scale is None else input_scale
        key = (row, scale, input_scale)
        if key not in self._plans:
            loss = self._loss or losses.MeanSquaredError()  # predict works without compile
            kinds = row or loss.kernel, scale, self._input_shape, input_scale
            self._plans[key] = self._make_plan(None, loss, self._metrics or [], *kinds)
        return self._plans[key]

    def predict(self, x, batch_size=None, verbose="auto", steps=None):
        """Compute the outputs.

        Parameters
        ----------
        x : array_like or frame, shape (n, ...), or chunks
            As for `fit`, but that chunks may be inputs alone; of a tuple the first part counts. What is in files or in
            chunks is read piece by piece.
        batch_size : int, optional
            Rows to work on at a time; the result does not depend on it but for rounding.
        verbose : {"auto", 0, 1, 2}, default "auto"
            1 and 2 print how many samples took how long.
        steps : int, optional
            How many chunks to take from an iterator.

        Returns
        -------
        ndarray, shape (n, outputs), of the model's dtype

        Raises
        ------
        ValueError, TypeError
            If an argument is not right.
        RuntimeError
            If the model is not built.
        """
        if self._input_shape is None:
            self._need_built()
        if verbose == "auto" or not validation.verbosity(verbose):
            return self._forward(x, "x", 0, self._last_op, self._outputs, batch_size, steps)
        start = time.perf_counter()
        y = self._forward(x, "x", 0, self._last_op, self._outputs, batch_size, steps)
        print(f"{len(y):,} samples in {time.perf_counter() - start:.3f} s", flush=True)
        return y

    def _scaling_shape(self, input_shape):
        """Shape of a sample where that layer gets it."""
        before = self._layers[: self._layers.index(self._scaling)]
        return network.shapes(before, input_shape)[-1] if before else input_shape

    def _scaled(self, x, rows, name, input_shape):
        """Return checked rows, to be scaled if the model has a layer for it."""
        layer = self._scaling
        if layer is None:
            return rows
        shape = self._scaling_shape(input_shape)
        return mapped.scaled_rows(x, rows, name, self._network.dtype, lambda values: layer.apply(values, shape))

    def _as_bytes(self, rows, x, wanted=None):
        """Return rows of the inputs x as bytes and what these are multiplied by, which has to be `wanted` if that is
        given; or None. With bytes all is faster. Not what is in a file and no bytes: that is not to be in memory."""
        if rows.dtype == np.uint8:
            scale = self.input_scale if self._scaling is None else self._scaling.factor_of_bytes
            return None if scale is None or wanted not in (None, scale) else (rows, scale)
        if self._scaling is not None or isinstance(x, np.memmap):
            return None
        for scale in dict.fromkeys((self.input_scale, *_USUAL_SCALES)):
            if wanted in (None, scale) and (found := self._network.quantized(rows, scale)) is not None:
                return found, scale
        return None

    def _forward(self, x, name, first, last, outputs, batch_size, steps=None):
        width, shape = (self._width(first), None) if first else (self._inputs, self._input_shape)
        dtype = self._network.dtype
        as_it_is = (first or self._scaling is None) and validation.are_rows(x, width, dtype)
        if not as_it_is and sources.chunked(x):
            steps = None if steps is None else validation.integer("steps", steps, low=1)
            chunks = sources.Chunks(x, name, steps, "steps").prepare(lambda chunk, number: (number, chunk))
            parts = []
            for number, chunk in chunks.in_order():
                rows = chunk[0] if isinstance(chunk, tuple) else chunk
                parts.append(self._forward(rows, f"chunk {number} of {name}", first, last, outputs, batch_size))
            return np.concatenate(parts)
        if steps is not None:
            raise ValueError(f"steps={steps} is for iterators over chunks; arrays have an end")
        scale, given = self.input_scale, x
        if not as_it_is:
            x = mapped.rows(x, name, width, dtype, shape)
        if not first and (not as_it_is or len(x) >= network.ROWS):
            found = self._as_bytes(x, given) if x.dtype == np.uint8 or len(x) >= network.ROWS else None
            x, scale = found or (self._scaled(given, x, name, shape), scale)
        rows = network.ROWS
        if batch_size is not None:
            rows = min(validation.integer("batch_size", batch_size, low=1), max(len(x), network.ROWS))
        out = np.empty((len(x), outputs), dtype)
        plan = self._plans.get((None, 1.0, scale)) or self._inference_plan(input_scale=scale)
        if isinstance(x, mapped.MappedRows):
            for part in x.blocks():
                self._network.forward(plan, x.take(part), first, last, out[part], rows)
        elif not self._network.forward(plan, x, first, last, out, rows) and as_it_is:
            validation.check_finite(x, x, name)
        return out

    def _width(self, op):
        """Width of the input of an operation of the plan."""
        return int(self._inference_plan().ops[op, OP_IN])

    def get_config(self):
        """Describe the model without its weights as a dict that JSON can hold."""
        return {
            "name": self.name,
            "layers": [layers_module.serialize(layer) for layer in self._layers],
            "input_shape": self._input_shape and list(self._input_shape),
            "dtype": self.dtype,
            "seed": self.seed,
            "input_scale": self.input_scale,
        }
