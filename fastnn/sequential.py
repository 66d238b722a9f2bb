"""Sequential: a list of layers that is compiled, trained, evaluated and saved."""

import math
from dataclasses import dataclass

import numpy as np

from . import callbacks as callbacks_module
from . import checkpoint, losses, network, optimizers, training, validation
from . import layers as layers_module
from . import metrics as metrics_module
from .kernels import losses as loss_table
from .kernels.plan import OP_IN
from .stack import LayerStack


@dataclass
class Targets:
    """Checked targets, the row of the loss that takes them, the scale of uint8 targets, and the names of classes."""

    y: np.ndarray
    loss: str
    scale: float = 1.0
    classes: np.ndarray | None = None


class Sequential(LayerStack):
    """A network of layers, one after the other.

    Parameters
    ----------
    layers : list of Layer, optional
        More can be added with `add`.
    seed : int, optional
        Everything random comes from it: the same seed gives the same weights, orders and dropout masks, and so the
        same model bit for bit. None draws one.
    backend : {"auto", "cython", "numba", "numpy"}, default "auto"
        What computes. "auto" takes the fastest that can run here.
    dtype : {"float32", "float64"}, default "float32"
        Of weights and computations.
    threads : int, optional
        Number of threads; by default ``FASTNN_NUM_THREADS`` or the CPUs that this process may use. Results do not
        depend on it.
    input_scale : float or "auto", default "auto"
        What uint8 inputs are multiplied by; "auto" is 1/255. Inputs of any other dtype are taken as they are.
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
    optimizer : optimizers.Optimizer or None
    history : callbacks.History or None
        Of the last fit.
    classes : ndarray of str or None
        Sorted names of the classes, where the labels were strings.
    stop_training : bool
        Set by a callback to end a fit after the epoch.

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have.
    """

    classes = None
    history = None
    stop_training = False

    def _changed(self):
        self._optimizer = self._loss = self._metrics = None
        self._plans = {}
        self._network.drop()

    # ------------------------------------------------------------------------------------------ compile

    def compile(self, optimizer="rmsprop", loss=None, metrics=None):
        """Choose optimizer, loss and metrics; the optimizer starts afresh, the weights stay.

        Parameters
        ----------
        optimizer : str or Optimizer, default "rmsprop"
            "sgd", "adam", "adamw", "rmsprop" or an instance.
        loss : str or Loss
            "mse", "mae", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy" or an
            instance.
        metrics : list of str or Metric, optional
            "accuracy", "mae", "mse" and what else `fastnn.metrics` has.

        Returns
        -------
        Sequential
            The model itself.

        Raises
        ------
        ValueError, TypeError
            If a name is unknown or the loss, the metrics and the last layer do not go together.
        """
        self._not_in_fit("compile")
        optimizer = optimizers.get(optimizer)
        if loss is None:
            raise ValueError(f"compile needs a loss; there are {', '.join(map(repr, losses.NAMES))}")
        loss = losses.get(loss)
        chosen = metrics_module.get_all(metrics)
        if self.built:
            self._make_plan(optimizer, loss, chosen, loss.kernel, 1.0, self._input_shape)
            self._network.reset_state(len(optimizer.row.slots))
        self._compile(optimizer, loss, chosen)
        return self

    def _compile(self, optimizer, loss, chosen):
        self._changed()
        self._optimizer, self._loss, self._metrics = optimizer, loss, chosen

    optimizer = property(lambda self: self._optimizer, doc="The optimizer, once compiled; its rate may be set.")

    def _need_compiled(self):
        self._need_layers()
        if self._loss is None:
            raise RuntimeError("the model is not compiled: call compile(optimizer, loss) first")

    def _make_plan(self, optimizer, loss, chosen, row, scale, input_shape):
        builder, _ = network.builder(self._layers, input_shape)
        return builder.build(
            loss=row,
            metrics=[metrics_module.resolve(name, row, builder.width) for _, name in chosen],
            optimizer=optimizer.kernel if optimizer else "sgd",
            hyper=optimizer.hyper if optimizer else None,
            dtype=self._network.dtype,
            from_logits=loss.from_logits,
            input_scale=self.input_scale,
            target_scale=scale,
        )

    def _inference_plan(self, row=None, scale=1.0):
        key = (row, scale)
        if key not in self._plans:
            if self._loss is None:  # predict works without compile
                plan = self._make_plan(None, losses.MeanSquaredError(), [], "mse", scale, self._input_shape)
            else:
                row = row or self._loss.kernel
                plan = self._make_plan(None, self._loss, self._metrics, row, scale, self._input_shape)
            self._plans[key] = plan
        return self._plans[key]

    # ------------------------------------------------------------------------------------------ data

    def _check_targets(self, y, name, x, outputs, learn):
        """Check targets against the loss; with `learn`, names of classes may be new. x: the inputs as given."""
        if y is None:
            raise ValueError(f"{name} is missing: the model needs targets")
        row = loss_table.LOSS_BY_NAME[self._loss.kernel]
        if row.labels:
            return self._check_labels(y, name, outputs, outputs, learn)
        # A network that is to reproduce its input sees it scaled, so its targets must be scaled alike.
        scale = self.input_scale if y is x else 1.0
        unit = row.link is not None
        return Targets(validation.targets(y, name, outputs, self._network.dtype, unit, scale), row.name, scale)

    def _check_labels(self, y, name, outputs, n_classes, learn):
        values = validation.label_array(y, name)
        classes = self.classes
        if values.dtype.kind == "U" and classes is None and learn and self._network.step == 0:
            classes = validation.find_classes(values, name, n_classes)
        y = validation.labels(values, name, n_classes, classes)
        return Targets(y, "sparse_categorical_crossentropy", classes=classes)

    def _check_pair(self, x, y, weights, names, input_shape, outputs, learn=False):
        x_name, y_name, weights_name = names
        rows = validation.rows(x, x_name, math.prod(input_shape), self._network.dtype, input_shape)
        targets = self._check_targets(y, y_name, x, outputs, learn)
        validation.same_length(rows, x_name, targets.y, y_name)
        weights = validation.sample_weight(weights, weights_name, len(rows), self._network.dtype)
        return training.Data(rows, targets.y, weights), targets

    def _unpack_validation(self, data):
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError("validation_data must be a tuple (x, y) or (x, y, sample_weight)")
        return (*data, None)[:3]

    def _class_weights(self, targets, class_weight, outputs):
        """Return the weight of every row by its class (n,), float64."""
        y = targets.y
        if y.ndim == 1:
            index, n_classes = y, outputs
        elif targets.loss == "binary_crossentropy" and outputs == 1:
            index, n_classes = (y[:, 0] > 0.5).astype(np.int64), 2
        elif outputs > 1 and (targets.loss == "categorical_crossentropy" or validation.is_one_hot(y)):
            index, n_classes = y.argmax(axis=1), outputs
        else:
            raise ValueError("class_weight needs targets that are classes, one a sample; use sample_weight instead")
        return validation.class_weight(class_weight, n_classes, targets.classes)[index]

    # ------------------------------------------------------------------------------------------ training

    def fit(
        self,
        x,
        y=None,
        batch_size=32,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
    ):
        """Train.

        A second fit goes on where the first one ended, with the optimizer's state. Ctrl-C ends a fit with
        KeyboardInterrupt; the model then has the weights of that moment.

        Parameters
        ----------
        x : array_like, shape (n, ...)
            Inputs; every sample is flattened. uint8 is multiplied by the model's `input_scale`, other numbers are
            taken as they are.
        y : array_like, shape (n,) or (n, outputs)
            Labels for a loss with labels, otherwise a number for every output. uint8 targets are scaled like the
            inputs only if they are the inputs (``fit(x, x)``).
        batch_size : int, default 32
        epochs : int, default 1
            Number of the epoch to stop at, counted from the first fit's if `initial_epoch` says so.
        verbose : {"auto", 0, 1, 2}, default "auto"
            0 is quiet, 1 a progress bar, 2 a line an epoch; "auto" is 1 on a terminal and 0 elsewhere.
        callbacks : list of Callback, optional
        validation_split : float, default 0.0
            Share of the rows to validate with: the last ones, before any shuffling.
        validation_data : tuple, optional
            (x, y) or (x, y, sample_weight); takes precedence over `validation_split`.
        shuffle : bool, default True
            Whether every epoch has an order of its own.
        class_weight : dict, optional
            Class to weight, for training; classes left out weigh 1.
        sample_weight : array_like, shape (n,), optional
            The loss is the mean over the samples of weight times loss. Metrics are not weighted.
        initial_epoch : int, default 0
            Number of the first epoch.

        Returns
        -------
        callbacks.History

        Raises
        ------
        ValueError, TypeError
            If an argument is not right. The model is as it was.
        RuntimeError
            If the model has no layers or is not compiled.
        FloatingPointError
            If the loss or the weights became NaN or infinite. The model keeps the last finite weights.
        """
        self._need_compiled()
        self._not_in_fit("fit")
        batch_size = 32 if batch_size is None else validation.integer("batch_size", batch_size, low=1)
        epochs = validation.integer("epochs", epochs, low=1)
        initial_epoch = validation.integer("initial_epoch", initial_epoch, low=0, high=epochs)
        verbose = validation.verbosity(verbose)
        callbacks = callbacks_module.check(callbacks)
        shuffle = validation.flag("shuffle", shuffle)
        input_shape = self._input_shape
        if input_shape is None:
            found = validation.rows(x, "x", None, self._network.dtype)
            shape = np.shape(x)[1:]
            input_shape = shape if math.prod(shape) == found.shape[1] and shape else (found.shape[1],)
        outputs = math.prod(network.shapes(self._layers, input_shape)[-1])
        data, targets = self._check_pair(
            x, y, sample_weight, ("x", "y", "sample_weight"), input_shape, outputs, learn=True
        )
        if class_weight is not None:
            by_class = self._class_weights(targets, class_weight, outputs).astype(self._network.dtype)
            data.weights = by_class if data.weights is None else data.weights * by_class
        names = ["loss", *(key for key, _ in self._metrics)]
        cut = validation.split_at(validation_split, len(data))
        held_out = None
        if validation_data is not None:
            x_val, y_val, w_val = self._unpack_validation(validation_data)
            where = ("validation x", "validation y", "validation sample_weight")
            remembered, self.classes = self.classes, targets.classes
            try:
                held_out, val_targets = self._check_pair(x_val, y_val, w_val, where, input_shape, outputs)
            finally:
                self.classes = remembered
        elif cut < len(data):
            unweighted = validation.sample_weight(sample_weight, "sample_weight", len(data), self._network.dtype)
            held_out = training.Data(data.x[cut:], data.y[cut:], None if unweighted is None else unweighted[cut:])
            val_targets = targets
            data = training.Data(data.x[:cut], data.y[:cut], None if data.weights is None else data.weights[:cut])
        plan = self._make_plan(self._optimizer, self._loss, self._metrics, targets.loss, targets.scale, input_shape)

        # Everything is checked: from here on the model changes.
        if self._input_shape is None:
            self._build(input_shape)
        self.classes = targets.classes if targets.classes is not None else self.classes
        if self._network.state.shape != (plan.n_slots, plan.n_params):
            self._network.reset_state(plan.n_slots)
        validate = None
        if held_out is not None:

            def validate():
                logs = self._evaluate(held_out, val_targets, network.ROWS)
                return {f"val_{name}": value for name, value in logs.items()}

        steps = math.ceil(len(data) / batch_size)
        params = {"epochs": epochs, "steps": steps, "samples": len(data)}
        hooks = callbacks_module.CallbackList(callbacks, verbose, self, params)
        self.history = hooks.history
        self.stop_training = False
        training.fit(
            self,
            self._network,
            plan,
            data,
            validate,
            names,
            self._loss.name,
            batch_size=batch_size,
            epochs=epochs,
            initial_epoch=initial_epoch,
            shuffle=shuffle,
            callbacks=hooks,
        )
        return self.history

    def _evaluate(self, data, targets, rows):
        plan = self._inference_plan(targets.loss, targets.scale)
        sums = self._network.evaluate(plan, data.x, data.y, data.weights, rows)
        return training.means(sums, len(data), ["loss", *(key for key, _ in self._metrics)])

    def evaluate(self, x, y=None, batch_size=None, verbose="auto", sample_weight=None, return_dict=False):
        """Compute the loss and the metrics.

        Parameters
        ----------
        x, y : array_like
            As for `fit`.
        batch_size : int, optional
            Rows to work on at a time; the result does not depend on it but for rounding.
        verbose : {"auto", 0, 1, 2}, default "auto"
            1 and 2 print the result.
        sample_weight : array_like, shape (n,), optional
        return_dict : bool, default False

        Returns
        -------
        float, list of float or dict of str to float
            The loss if there are no metrics; otherwise the loss and the metrics, in order; a dict if asked.

        Raises
        ------
        ValueError, TypeError
            If an argument is not right.
        RuntimeError
            If the model is not compiled or not built.
        """
        self._need_compiled()
        self._need_built()
        rows = network.ROWS if batch_size is None else validation.integer("batch_size", batch_size, low=1)
        verbose = validation.verbosity(verbose)
        names = ("x", "y", "sample_weight")
        data, targets = self._check_pair(x, y, sample_weight, names, self._input_shape, self._outputs)
        logs = self._evaluate(data, targets, min(rows, max(len(data), network.ROWS)))
        if verbose in (1, 2):
            print(" - ".join(f"{name}: {value:.4f}" for name, value in logs.items()), flush=True)
        if validation.flag("return_dict", return_dict):
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def predict(self, x, batch_size=None, verbose="auto"):
        """Compute the outputs.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        batch_size : int, optional
            Rows to work on at a time; the result does not depend on it but for rounding.
        verbose : {"auto", 0, 1, 2}, default "auto"
            Taken for Keras's sake: nothing is shown.

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
        if verbose != "auto":
            validation.verbosity(verbose)
        return self._forward(x, "x", 0, self._last_op, self._outputs, batch_size)

    def _forward(self, x, name, first, last, outputs, batch_size):
        x = validation.rows(x, name, self._width(first), self._network.dtype, None if first else self._input_shape)
        rows = network.ROWS
        if batch_size is not None:
            rows = min(validation.integer("batch_size", batch_size, low=1), max(len(x), network.ROWS))
        out = np.empty((len(x), outputs), self._network.dtype)
        plan = self._plans.get((None, 1.0)) or self._inference_plan()
        self._network.forward(plan, x, first, last, out, rows)
        return out

    def _width(self, op):
        """Width of the input of an operation of the plan."""
        return int(self._inference_plan().ops[op, OP_IN])

    def predict_classes(self, x, batch_size=None):
        """Compute the classes that the outputs stand for.

        Returns
        -------
        ndarray, shape (n,), or (n, outputs) for a binary cross-entropy with several outputs
            The labels, int32, of the largest outputs, or the names that were given as labels. One output, and every
            output of a binary cross-entropy, is 1 above a probability of one half and 0 otherwise.
        """
        self._need_compiled()
        y = self.predict(x, batch_size)
        binary = self._loss.kernel == "binary_crossentropy"
        if binary or self._outputs == 1:
            labels = (y > (0.0 if self._loss.from_logits else 0.5)).astype(np.int32)
            labels = labels[:, 0] if self._outputs == 1 else labels
        else:
            labels = y.argmax(axis=1).astype(np.int32)
        return labels if self.classes is None else self.classes[labels]

    # ------------------------------------------------------------------------------------------ saving

    def save(self, path):
        """Write the model to a file: weights, optimizer state, and all that a fit needs to go on as if never stopped.

        The file is replaced in one step, so that a failure leaves the old one as it was.

        Parameters
        ----------
        path : path-like
            By custom it ends in ".safetensors".

        Raises
        ------
        OSError
            If the file cannot be written.
        RuntimeError
            If the model is not built.
        """
        self._need_built()
        checkpoint.save(self, path)

    def get_config(self):
        """Describe the model without its weights as a dict that JSON can hold."""
        compiled = None
        if self._loss is not None:
            compiled = {
                "optimizer": optimizers.serialize(self._optimizer),
                "loss": losses.serialize(self._loss),
                "metrics": [list(pair) for pair in self._metrics],
            }
        return {
            "name": self.name,
            "layers": [layers_module.serialize(layer) for layer in self._layers],
            "input_shape": self._input_shape and list(self._input_shape),
            "dtype": self.dtype,
            "seed": self.seed,
            "input_scale": self.input_scale,
            "compile": compiled,
            "classes": None if self.classes is None else self.classes.tolist(),
            **self._extra_config(),
        }

    def _extra_config(self):
        return {}

    def _restore_extra(self, config):
        pass
