"""What a model takes for data: arrays, frames and chunks in, checked sources out. Nothing here changes the model."""

import dataclasses
import math

import numpy as np

from . import mapped, network, sources, validation
from . import targets as targets_module
from .stack import LayerStack

_NAMES = ("x", "y", "sample_weight")


class Intake(LayerStack):
    """The part of `Sequential` that checks data."""

    # Whether the targets are the inputs, as scaled as the first layer scales them, where there are no others.
    _reproduces = False
    classes = None

    def _check_targets(self, y, name, wanted):
        return targets_module.check(y, name, wanted)

    def _check_inputs(self, x, name, input_shape, scale):
        """Return the rows of x, what the kernels get for them, and what bytes among that are multiplied by."""
        width, dtype = math.prod(input_shape), self._network.dtype
        as_it_is = network.can_be_quantized(x) and x.ndim > 0 and x.size == len(x) * width
        found = self._as_bytes(x.reshape(len(x), width), x, scale) if as_it_is else None
        if found is None:
            rows = mapped.rows(x, name, width, dtype, input_shape)
            found = None if as_it_is else self._as_bytes(rows, x, scale)
        if found is not None:
            return found[0], *found
        if rows.dtype == np.uint8 and self._scaling is None:  # but the bytes before them had another scale
            rows = rows * dtype.type(self.input_scale)
        return rows, self._scaled(x, rows, name, input_shape), self.input_scale if scale is None else scale

    def _check_pair(self, x, y, weights, names, input_shape, classes, learn=False, scale=None):
        x_name, y_name, weights_name = names
        dtype = self._network.dtype
        rows, inputs, scale = self._check_inputs(x, x_name, input_shape, scale)
        outputs = math.prod(network.shapes(self._layers, input_shape)[-1])
        learn = learn and self._network.step == 0
        wanted = targets_module.Wanted(self._loss.kernel, outputs, dtype, classes, learn)
        if (validation.same_array(x, y) or (y is None and self._reproduces)) and not wanted.row.labels:
            as_inputs = self._scaling is None or self._reproduces
            known = self._reproduces and (self._scaling is None or self._scaling.adapted)
            targets = targets_module.reproduce(
                inputs if known else rows, y_name, wanted, scale if as_inputs else self.input_scale
            )
        elif y is None:
            raise ValueError(f"{y_name} is missing: the model needs targets")
        else:
            targets = self._check_targets(y, y_name, wanted)
        if targets.y is rows and self._reproduces:
            targets = dataclasses.replace(targets, y=inputs)
        validation.same_length(rows, x_name, targets.y, y_name)
        weights = validation.sample_weight(weights, weights_name, len(rows), dtype)
        return sources.Data(inputs, targets.y, weights, scale), targets

    def _adapt(self, chunks):
        """Let the layer that scales the inputs find what it needs in arrays of inputs, unless it knows."""
        if self._scaling is not None and not self._scaling.adapted:
            self._scaling.adapt_to(chunks, self._scaling_shape(self._input_shape))

    def _unpack_validation(self, data):
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError("validation_data must be a tuple (x, y) or (x, y, sample_weight)")
        return (*data, None)[:3]

    def _weigh(self, data, targets, class_weight, input_shape):
        """Return the data with the weights of the rows' classes."""
        if class_weight is None:
            return data
        outputs = math.prod(network.shapes(self._layers, input_shape)[-1])
        by_class, name = targets_module.class_weights(targets, class_weight, outputs), "class_weight"
        if data.weights is not None:
            by_class, name = by_class * data.weights, "class_weight times sample_weight"
        weights = validation.sample_weight(by_class, name, len(data), self._network.dtype)
        return dataclasses.replace(data, weights=weights)

    # ------------------------------------------------------------------------------------------ arrays

    def _arrays(self, x, y, sample_weight, class_weight, validation_split, input_shape):
        """Check the arrays of a fit; return data to train on, their targets, and data that are held out or None."""
        data, targets = self._check_pair(x, y, sample_weight, _NAMES, input_shape, self.classes, learn=True)
        train = self._weigh(data, targets, class_weight, input_shape)
        cut = validation.split_at(validation_split, len(data))
        if cut == len(data):
            return train, targets, None
        return train.rows(0, cut), targets, data.rows(cut, len(data))

    def _evaluation(self, x, y, sample_weight, names, input_shape, classes, steps=None):
        """Check what a model is to be evaluated with; return a source and its targets."""
        if sources.chunked(x, y):
            if sample_weight is not None:
                raise ValueError("sample_weight goes with arrays; a chunk has its own as a third part")
            chunks = sources.Chunks(x, names[0], steps, "steps")
            data, targets = self._first_chunk(chunks, names[0], input_shape, classes)
            return chunks.prepare(self._chunk_check(names[0], input_shape, targets, data.scale)), targets
        if steps is not None:
            raise ValueError(f"steps={steps} is for iterators over chunks; arrays have an end")
        data, targets = self._check_pair(x, y, sample_weight, names, input_shape, classes)
        return sources.Arrays(data, len(data), False), targets

    def _validation(self, validation_data, input_shape, classes):
        """Check the validation data of a fit; return a source and its targets."""
        names = tuple(f"validation {name}" for name in _NAMES)
        if not isinstance(validation_data, tuple) and sources.chunked(validation_data):
            if hasattr(validation_data, "__next__"):
                raise ValueError("validation_data is an iterator, which one epoch would use up; pass a list of chunks")
            parts = validation_data, None, None
        else:
            parts = self._unpack_validation(validation_data)
        return self._evaluation(*parts, names, input_shape, classes)

    # ------------------------------------------------------------------------------------------ chunks

    def _first_chunk(self, chunks, name, input_shape, classes, learn=False):
        """Return the first chunk and its targets, with which those of the others have to agree."""
        parts = sources.unpack(chunks.first(), f"chunk 0 of {name}", self._reproduces)
        names = tuple(f"{part} of chunk 0 of {name}" for part in _NAMES)
        return self._check_pair(*parts, names, input_shape, classes, learn)

    def _chunk_check(self, name, input_shape, targets, scale, class_weight=None):
        """Return a function that makes `sources.Data` of a chunk and its number, as the first chunk's are."""

        def check(chunk, number):
            where = f"chunk {number} of {name}"
            names = tuple(f"{part} of {where}" for part in _NAMES)
            data, found = self._check_pair(
                *sources.unpack(chunk, where, self._reproduces), names, input_shape, targets.classes, scale=scale
            )
            if found.loss != targets.loss:
                raise ValueError(
                    f"{names[1]} is of another kind than in the first chunk: its loss is "
                    f"{found.loss!r}, not {targets.loss!r}"
                )
            if found.y.dtype == np.uint8 and found.scale != targets.scale:
                dtype = self._network.dtype
                data = dataclasses.replace(data, y=found.y.astype(dtype) * dtype.type(found.scale))
            return self._weigh(data, found, class_weight, input_shape).loaded()

        return check

    def _chunks(self, chunks, sample_weight, class_weight, validation_split, batch_size, shuffle, input_shape):
        """Check the first chunk of a fit; return the source, its targets, and what bytes are multiplied by."""
        if sample_weight is not None:
            raise ValueError("sample_weight goes with arrays; a chunk has its own as a third part")
        if validation_split != 0.0:
            raise ValueError(f"validation_split={validation_split!r} is for arrays; pass validation_data with chunks")
        data, targets = self._first_chunk(chunks, "x", input_shape, self.classes, learn=True)
        self._weigh(data, targets, class_weight, input_shape)  # so that wrong ones are found before anything changes
        check = self._chunk_check("x", input_shape, targets, data.scale, class_weight)
        if chunks.is_iterator and self._scaling is not None and not self._scaling.adapted:
            raise ValueError(
                f"an iterator can be gone through once: call adapt(data) of {self._scaling!r} before fit()"
            )
        return chunks.prepare(check, batch_size, shuffle), targets, data.scale
