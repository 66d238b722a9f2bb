"""Sequential: a list of layers that is compiled, trained, evaluated and saved."""

import numpy as np

from . import checkpoint, lbfgs, losses, network, optimizers, sources, training, validation
from . import metrics as metrics_module
from .callbacks import dispatch
from .intake import Intake
from .kernels import losses as loss_table


class Sequential(Intake):
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
        What uint8 inputs are multiplied by; "auto" is 1/255. Other inputs are taken as they are, see `fit`.
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

    history = None
    stop_training = False

    # ------------------------------------------------------------------------------------------ compile

    def compile(self, optimizer="rmsprop", loss=None, metrics=None):
        """Choose optimizer, loss and metrics; the optimizer starts afresh, the weights stay.

        Parameters
        ----------
        optimizer : str or Optimizer, default "rmsprop"
            "sgd", "adam", "adamw", "rmsprop", "adagrad", "adamax", "nadam", "lion", "lbfgs" or an
            instance.
        loss : str or Loss
            "mse", "mae", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "huber",
            "log_cosh", "poisson", "kl_divergence", "hinge", "squared_hinge", "categorical_hinge", "cosine_similarity"
            or an instance.
        metrics : list of str, Metric or callable, optional
            "accuracy", "mae", "auc" and what else `fastnn.metrics` has, or functions of y_true and y_pred. Those that
            the kernels cannot sum within training take room for the outputs of an epoch.

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
            self._check_compiled(optimizer, loss, chosen)
            self._network.reset_state(len(optimizer.row.slots))
        self._compile(optimizer, loss, chosen)
        return self

    def _check_compiled(self, optimizer, loss, chosen):
        """Raise unless the choices fit the layers and one another."""
        self._make_plan(optimizer, loss, chosen, loss.kernel, 1.0, self._input_shape)

    def _compile(self, optimizer, loss, chosen):
        self._changed()
        self._optimizer, self._loss, self._metrics = optimizer, loss, chosen

    optimizer = property(lambda self: self._optimizer, doc="The optimizer, once compiled; its rate may be set.")

    def _need_compiled(self):
        self._need_layers()
        if self._loss is None:
            raise RuntimeError("the model is not compiled: call compile(optimizer, loss) first")

    # ------------------------------------------------------------------------------------------ training

    def fit(
        self,
        x,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Train.

        A second fit goes on where the first one ended, with the optimizer's state. Ctrl-C ends a fit with
        KeyboardInterrupt; the model then has the weights of that moment.

        Parameters
        ----------
        x : array_like or frame, shape (n, ...), or chunks
            Inputs; every sample is flattened. uint8 is multiplied by the model's `input_scale`, other numbers are
            taken as they are. Where these are bytes times 1/255, 1 or `input_scale` but for rounding, as images
            divided by 255 are, a float32 model works on a copy in bytes, which is faster. Arrays in files (np.memmap)
            stay there.
            Chunks are tuples (x, y) or (x, y, sample_weight) from a sequence (with ``len`` and indices), an iterable,
            or an iterator such as a generator; the next one is prepared in a thread while one trains, and no more than
            these are in memory.
        y : array_like or frame, shape (n,) or (n, outputs)
            Labels for a loss with labels, otherwise a number for every output. uint8 targets are scaled like the
            inputs where they are the inputs (``fit(x, x)``, ``fit(x[:9], x[:9])``) and in an `Autoencoder`.
        batch_size : int, optional
            For arrays, 32 by default. Chunks are cut into batches of it, the last of a chunk being smaller; by default
            each is one batch.
        epochs : int, default 1
            Number of the epoch to stop at, counted from the first fit's if `initial_epoch` says so.
        verbose : {"auto", 0, 1, 2}, default "auto"
            0 is quiet, 1 a progress bar, 2 a line an epoch; "auto" is 1 on a terminal and 0 elsewhere.
        callbacks : list of Callback, optional
        validation_split : float, default 0.0
            Share of the rows to validate with: the last ones, before any shuffling.
        validation_data : tuple, optional
            (x, y) or (x, y, sample_weight), or a list of chunks; takes precedence over `validation_split`.
        shuffle : bool, default True
            Whether every epoch has an order of its own. A sequence has its chunks shuffled, and with a `batch_size`
            every chunk has its rows shuffled; the order of an iterator's chunks is its own.
        class_weight : dict, optional
            Class to weight, for training; classes left out weigh 1.
        sample_weight : array_like, shape (n,), optional
            The loss is the mean over the samples of weight times loss. Metrics are not weighted.
        initial_epoch : int, default 0
            Number of the first epoch.
        steps_per_epoch : int, optional
            How many chunks an epoch takes from an iterator.
        validation_batch_size : int, optional
            Rows of the validation data to work on at a time; the result does not depend on it but for rounding.
        validation_freq : int or list of int, default 1
            Number of epochs from one validation to the next, or the epochs that end with one, counted from 1.

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
        if batch_size is not None:
            batch_size = validation.integer("batch_size", batch_size, low=1)
        epochs = validation.integer("epochs", epochs, low=1)
        initial_epoch = validation.integer("initial_epoch", initial_epoch, low=0, high=epochs)
        if steps_per_epoch is not None:
            steps_per_epoch = validation.integer("steps_per_epoch", steps_per_epoch, low=1)
        rows = network.ROWS
        if validation_batch_size is not None:
            rows = validation.integer("validation_batch_size", validation_batch_size, low=1)
        if isinstance(validation_freq, (list, tuple, set)):
            validation_freq = {validation.integer("validation_freq", number, low=1) for number in validation_freq}
        else:
            validation_freq = validation.integer("validation_freq", validation_freq, low=1)
        verbose = validation.verbosity(verbose)
        callbacks = dispatch.check(callbacks)
        shuffle = validation.flag("shuffle", shuffle)
        self._network.thread_count()  # raises now, not in the middle of things
        by_batch = not isinstance(self._optimizer, optimizers.LBFGS)
        if not by_batch:
            lbfgs.check(self, batch_size, hasattr(x, "__next__"), callbacks)
        chunks = sources.Chunks(x, "x", steps_per_epoch) if sources.chunked(x, y) else None
        if chunks is None and steps_per_epoch is not None:
            raise ValueError(f"steps_per_epoch={steps_per_epoch} is for iterators over chunks; arrays have an end")
        input_shape = self._input_shape
        if input_shape is None:
            sample = x if chunks is None else sources.unpack(chunks.first(), "chunk 0 of x", self._reproduces)[0]
            input_shape = validation.array(sample, "x").shape[1:] or (1,)
        rest = (sample_weight, class_weight, validation_split)
        if chunks is None:
            data, targets, held_out = self._arrays(x, y, *rest, input_shape)
            source, scale = sources.Arrays(data, batch_size or 32, shuffle), data.scale
        else:
            source, targets, scale = self._chunks(chunks, *rest, batch_size, shuffle, input_shape)
            held_out = None
        if validation_data is not None:
            validating = self._validation(validation_data, input_shape, targets.classes)
        elif held_out is not None:
            validating = sources.Arrays(held_out, len(held_out), False), targets
        else:
            validating = None
        if validating is None and validation_batch_size is not None:
            raise ValueError(f"validation_batch_size={validation_batch_size} needs data to validate with")
        if validation_freq != 1 and (validating is None or not validation_freq):
            what = "names no epoch to validate after" if validating else "needs data to validate with"
            raise ValueError(f"validation_freq={validation_freq!r} {what}")
        plan = self._make_plan(
            self._optimizer, self._loss, self._metrics, targets.loss, targets.scale, input_shape, scale
        )

        # Everything is checked: from here on the model changes.
        if self._input_shape is None:
            self._build(input_shape)
        self.classes = targets.classes
        self._adapt(source.inputs())
        source.load()
        if validating is not None:
            validating[0].load()
        if self._network.state.shape != (plan.n_slots, plan.n_params):
            self._network.reset_state(plan.n_slots)
        params = {"epochs": epochs, "steps": source.steps, "samples": source.samples}
        identity = {"samples": source.samples, "batch_size": source.batch_size, "shuffle": shuffle}
        hooks = dispatch.CallbackList(callbacks, verbose, self, params, identity)
        self.stop_training = False
        initial_epoch = hooks.resume(initial_epoch)
        (training if by_batch else lbfgs).fit(
            self,
            self._network,
            plan,
            source,
            validating and training.Validation(lambda: self._evaluate(*validating, rows), validation_freq),
            metrics_module.Results(self._metrics, targets.loss, plan.n_outputs),
            self._loss.name,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=hooks,
        )
        return hooks.history

    def _evaluate(self, source, targets, rows):
        results = metrics_module.Results(self._metrics, targets.loss, self._outputs)
        sums, n, seen = np.zeros(1 + len(results.rows)), 0, []
        for data in source.in_order():
            plan = self._inference_plan(targets.loss, targets.scale, data.scale)
            size = min(rows, max(len(data), network.ROWS))
            sums += self._network.evaluate(plan, data.x, data.y, data.weights, size)
            n += len(data)
            if results.need_outputs:
                outputs = np.empty((len(data), plan.n_outputs), self._network.dtype)
                self._network.forward(plan, data.x, 0, self._last_op, outputs, size)
                seen.append((data.scaled_targets(targets.scale), outputs))
        if not seen:
            return results.logs(sums, n)
        return results.logs(sums, n, *(np.concatenate(parts) for parts in zip(*seen, strict=True)))

    def evaluate(self, x, y=None, batch_size=None, verbose="auto", sample_weight=None, return_dict=False, steps=None):
        """Compute the loss and the metrics.

        Parameters
        ----------
        x, y : array_like
            As for `fit`; x may be chunks.
        batch_size : int, optional
            Rows to work on at a time; the result does not depend on it but for rounding.
        verbose : {"auto", 0, 1, 2}, default "auto"
            1 and 2 print the result.
        sample_weight : array_like, shape (n,), optional
        return_dict : bool, default False
        steps : int, optional
            How many chunks to take from an iterator.

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
        if steps is not None:
            steps = validation.integer("steps", steps, low=1)
        source, targets = self._evaluation(x, y, sample_weight, names, self._input_shape, self.classes, steps)
        logs = self._evaluate(source, targets, rows)
        if verbose in (1, 2):
            print(" - ".join(f"{name}: {value:.4f}" for name, value in logs.items()), flush=True)
        if validation.flag("return_dict", return_dict):
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def predict_classes(self, x, batch_size=None, steps=None):
        """Compute the classes that the outputs stand for.

        Parameters
        ----------
        x, batch_size, steps
            As for `predict`.

        Returns
        -------
        ndarray, shape (n,), or (n, outputs) for a binary cross-entropy with several outputs
            The labels, int32, of the largest outputs, or the names that were given as labels. One output, and every
            output of a binary cross-entropy, is 1 above a probability of one half and 0 otherwise.
        """
        self._need_compiled()
        y = self.predict(x, batch_size, 0, steps)
        row = loss_table.LOSS_BY_NAME[self._loss.kernel]
        binary = row.link == "sigmoid"
        if binary or self._outputs == 1:
            threshold = 0.5 if row.link and not self._loss.from_logits else row.threshold
            labels = (y > threshold).astype(np.int32)
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
                "metrics": [metrics_module.serialize(metric) for metric in self._metrics],
            }
        classes = None if self.classes is None else self.classes.tolist()
        return {**super().get_config(), "compile": compiled, "classes": classes}

    def _restore(self, config):
        """Take in what a subclass adds to the configuration."""
