"""What of Keras is taken, and one line for what is not."""

import dis
import inspect
import sys

# Stands for a default in a table of arguments where any value will do, for it changes no result.
FREE = object()


def refuse(what, given, defaults, supported):
    """Raise for every argument that is not in `defaults`, or differs from its value there.

    Parameters
    ----------
    what : str
        What the arguments were given to.
    given : dict
        The arguments.
    defaults : dict
        What Keras has and fastnn has not, with the value, or a tuple of values, that asks for nothing.
    supported : iterable of str
        Names to put into the message.

    Raises
    ------
    TypeError
        If Keras has no such argument either.
    ValueError
        If the value asks for what is not supported.
    """
    for name, value in given.items():
        if name not in defaults:
            raise TypeError(f"{what} got an unknown argument {name}={value!r}; supported are {', '.join(supported)}")
        default = defaults[name]
        allowed = default if isinstance(default, tuple) else (default,)
        if default is not FREE and not any(value is v or (type(value) is type(v) and value == v) for v in allowed):
            raise ValueError(
                f"{what} does not support {name}={value!r}, only {default!r}; supported are {', '.join(supported)}"
            )


def adapt(base, order=(), defaults=None, old=None, mixin=()):
    """Return a subclass of one of the engine's classes whose constructor takes Keras's arguments.

    Parameters
    ----------
    base : type
    order : sequence of str
        Keras's positional arguments, where they are others than the engine's.
    defaults : dict
        As for `refuse`.
    old : dict
        Old spellings to names of today.
    mixin : tuple of type
    """
    defaults, old = defaults or {}, old or {}
    parameters = inspect.signature(base.__init__).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)][1:]
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        names += ["clipnorm", "clipvalue", "global_clipnorm"]
    positions = order or names
    what = base.__name__

    def __init__(self, *args, **kwargs):
        if len(args) > len(positions):
            raise TypeError(f"{what} takes {len(positions)} positional arguments, got {len(args)}")
        given = {**dict(zip(positions, args, strict=False)), **{old.get(k, k): v for k, v in kwargs.items()}}
        refuse(what, {k: v for k, v in given.items() if k not in names}, defaults, names)
        base.__init__(self, **{k: v for k, v in given.items() if k in names})

    module = f"{__package__}.{base.__module__.split('.')[1]}"
    return type(what, (*mixin, base), {"__init__": __init__, "__doc__": base.__doc__, "__module__": module})


def missing(module, names):
    """Return a ``__getattr__`` for a module: one line that says what it has.

    ``from module import name`` would swallow an AttributeError and its message, so it gets an ImportError.
    """

    def __getattr__(name):
        message = f"{module} has no {name!r}; supported are {', '.join(sorted(names))}"
        caller = sys._getframe(1)
        importing = dis.opname[caller.f_code.co_code[caller.f_lasti]] == "IMPORT_FROM"
        if importing and not name.startswith("__"):
            raise ImportError(message, name=module)
        raise AttributeError(message)

    return __getattr__
