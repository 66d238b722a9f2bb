"""What `fastnn train` trains with: named sets of settings, and the model that they make, as an object or as Python."""

import math
from dataclasses import dataclass, field

import fastnn

# Options of `fastnn train` that a recipe decides where the user does not.
PLAIN = {
    "hidden": [256, 128],
    "code": 32,
    "activation": "relu",
    "dropout": [0.3],
    "epochs": 20,
    "batch_size": 128,
    "optimizer": "adam",
    "learning_rate": None,
    "weight_decay": None,
    "schedule": "constant",
    "label_smoothing": 0.0,
}
RECIPES = {
    "plain": {"mlp": PLAIN, "autoencoder": {**PLAIN, "dropout": [0.0]}},
    "best": {
        "mlp": {
            **PLAIN,
            "hidden": [1024, 512],
            "activation": "gelu",
            "epochs": 30,
            "batch_size": 256,
            "optimizer": "adamw",
            "learning_rate": 0.002,
            "weight_decay": 0.1,
            "schedule": "one-cycle",
            "label_smoothing": 0.05,
        },
        "autoencoder": {
            **PLAIN,
            "hidden": [512, 256],
            "dropout": [0.0],
            "epochs": 25,
            "learning_rate": 0.002,
            "schedule": "one-cycle",
        },
    },
}
_NORMALIZE = {"standard": "fastnn.layers.Normalization", "min-max": "fastnn.layers.MinMax"}
_AUTOENCODER = ("code", "noise", "masking", "sparse", "tied")  # options of no other model
SCHEDULES = ("constant", "cosine", "one-cycle")


@dataclass
class Call:
    """A call of the public API, to be made or to be written down.

    Attributes
    ----------
    name : str
        Such as "fastnn.optimizers.Adam".
    args, kwargs : list, dict
        Values, and other calls.
    """

    name: str
    args: list = field(default_factory=list)
    kwargs: dict = field(default_factory=dict)

    def make(self):
        """Call it."""
        thing = fastnn
        for part in self.name.split(".")[1:]:
            thing = getattr(thing, part)
        made = [value.make() if isinstance(value, Call) else value for value in [*self.args, *self.kwargs.values()]]
        return thing(*made[: len(self.args)], **dict(zip(self.kwargs, made[len(self.args) :], strict=True)))

    def source(self, lines=False):
        """Write it as Python; `lines` gives every argument a line."""
        parts = [_text(value) for value in self.args] + [f"{name}={_text(v)}" for name, v in self.kwargs.items()]
        if lines:
            return f"{self.name}(\n" + "".join(f"    {part},\n" for part in parts) + ")"
        return f"{self.name}({', '.join(parts)})"


def _text(value):
    return value.source() if isinstance(value, Call) else f'"{value}"' if isinstance(value, str) else repr(value)


def settle(args):
    """Fill in the options that the user left to the recipe, and refuse those that the model does not have."""
    if args.model == "autoencoder":
        for name, why in (("dropout", "takes --noise instead"), ("label_smoothing", "has no labels")):
            if getattr(args, name) is not None and any([getattr(args, name)] if name != "dropout" else args.dropout):
                raise ValueError(f"--{name.replace('_', '-')} is for --model mlp: an autoencoder {why}")
    else:
        for name in _AUTOENCODER:
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} is for --model autoencoder")
    for name, value in RECIPES[args.recipe][args.model].items():
        if getattr(args, name) is None and (args.model == "autoencoder" or name not in _AUTOENCODER):
            setattr(args, name, value)


def model_call(args, source):
    """Return the `Call` that makes the model for settled arguments and data."""
    options = {"activation": args.activation}
    optimizer = _optimizer(args, source)
    if args.model == "autoencoder":
        sizes = [source.inputs, *args.hidden, args.code]
        if args.normalize is not None and source.image_shape is not None:
            raise ValueError("--normalize is for tables where --model is autoencoder, for images are shown as they are")
        if args.normalize == "standard" or (args.normalize is None and not source.unit):
            options["output_activation"] = "linear"
        options["optimizer"] = optimizer
        for key in ("noise", "masking", "tied"):
            if getattr(args, key):
                options[key] = getattr(args, key)
        if args.sparse is not None:
            options["activity_regularizer"] = Call("fastnn.regularizers.L1", [args.sparse])
        name = "fastnn.Autoencoder"
    else:
        sizes = [source.inputs, *args.hidden, source.outputs]
        if any(args.dropout):
            options["dropout"] = args.dropout[0] if len(args.dropout) == 1 else args.dropout
        if source.task != "classification":
            options["task"] = source.task
        options["optimizer"] = optimizer
        if args.label_smoothing:
            if source.task != "classification":
                raise ValueError(f"--label-smoothing is for classes, not for {source.task}")
            kind = "Sparse" if source.outputs > 1 else "Binary"
            loss = "SparseCategoricalCrossentropy" if kind == "Sparse" else "BinaryCrossentropy"
            options["loss"] = Call(f"fastnn.losses.{loss}", kwargs={"label_smoothing": args.label_smoothing})
        name = "fastnn.MLP"
    if args.normalize is not None:
        options["input_layer"] = Call(_NORMALIZE[args.normalize])
    options["seed"] = args.seed
    for key, usual in (("backend", "auto"), ("dtype", "float32"), ("threads", None)):
        if getattr(args, key) != usual:
            options[key] = getattr(args, key)
    options["name"] = source.name
    return Call(name, [sizes], options)


def _optimizer(args, source):
    rate = args.learning_rate
    if args.schedule != "constant":
        rate = 0.001 if rate is None else rate
        steps = math.ceil(source.n_train / args.batch_size) * args.epochs
        if args.schedule == "one-cycle":
            rate = Call("fastnn.schedules.OneCycle", [rate], {"total_steps": steps})
        else:
            rate = Call("fastnn.schedules.CosineDecay", [rate], {"decay_steps": steps})
    options = {} if rate is None else {"learning_rate": rate}
    if args.weight_decay is not None:
        options["weight_decay"] = args.weight_decay
    if not options:
        return args.optimizer
    return Call(f"fastnn.optimizers.{type(fastnn.optimizers.get(args.optimizer)).__name__}", kwargs=options)


def script(args, source):
    """Write what the command does as a Python program."""
    fit = {"batch_size": args.batch_size, "epochs": args.epochs}
    given = "x_train" if args.model == "autoencoder" else "x_train, y_train"
    test = "x_test" if args.model == "autoencoder" else "x_test, y_test"
    held = "validation_data=" + (test if args.model == "autoencoder" else f"({test})")
    if args.validation_split:
        held = f"validation_split={args.validation_split}"
    options = ", ".join(f"{name}={value}" for name, value in fit.items())
    return f"""\
import fastnn

(x_train, y_train), (x_test, y_test) = fastnn.datasets.load("{source.name}")
model = {model_call(args, source).source(lines=True)}
model.fit({given}, {options}, {held})
print(model.evaluate({test}, return_dict=True))
model.save("model.safetensors")
"""
