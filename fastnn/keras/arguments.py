"""What of Keras is taken, and one line for what is not."""

import ast
import dis
import functools
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


def spelled(**old):
    """Let a function take arguments by old names, each with its name of today."""

    def decorated(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            for name in old.keys() & kwargs.keys():
                today = old[name]
                if today in kwargs:
                    raise TypeError(f"{name}={kwargs[name]!r} is an old name of {today}={kwargs[today]!r}: give one")
                kwargs[today] = kwargs.pop(name)
            return function(*args, **kwargs)

        return call

    return decorated


def parse(text, defaults=None):
    """Return the parameters of a function that a text such as ``"x axis=-1"`` names.

    With `defaults`, a dict of name to value, those without a value have theirs from there, and otherwise None.
    """
    found = []
    for item in text.split():
        name, _, value = item.partition("=")
        default = inspect.Parameter.empty if defaults is None else defaults.get(name)
        default = ast.literal_eval(value) if value else default
        found.append(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
    return found


def adapt(base, order, defaults=None, old=None, mixin=(), extra=None):
    """Return a subclass of one of the engine's classes whose constructor takes Keras's arguments.

    Parameters
    ----------
    base : type
    order : str
        Keras's arguments, in their order; ``name=value`` for a default that is not the engine's. Those that the engine
        does not have are refused unless they have their default, or one of the values in `defaults`.
    defaults : dict
        As for `refuse`; `FREE` for what changes no result.
    old : dict
        Old spellings to names of today.
    mixin : tuple of type
    extra : dict of str to callable, optional
        Arguments that the engine does not have and the subclass does: called with the instance and the value.
    """
    what, extra = base.__name__, extra or {}
    engine = inspect.signature(base.__init__).parameters
    taken = {name for name, p in engine.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    if any(p.kind is p.VAR_KEYWORD for p in engine.values()):
        taken |= _OPTIONS
    parameters = parse(order, {name: p.default for name, p in engine.items()})
    signature = inspect.Signature(parameters)
    refused = {p.name: p.default for p in parameters if p.name not in taken and p.name not in extra} | (defaults or {})
    own = {p.name: p.default for p in parameters if p.name in taken}
    supported = [p.name for p in parameters if p.name not in refused]

    def __init__(self, *args, **kwargs):
        try:
            given = signature.bind_partial(*args).arguments
        except TypeError:
            raise TypeError(f"{what} takes {len(parameters)} positional arguments, got {len(args)}") from None
        given.update({(old or {}).get(key, key): value for key, value in kwargs.items()})
        more = {name: given.pop(name) for name in extra if name in given}
        refuse(what, {k: v for k, v in given.items() if k not in own}, refused, supported)
        base.__init__(self, **{**own, **{k: v for k, v in given.items() if k in own}})
        for name, value in more.items():
            extra[name](self, value)

    __init__.__signature__ = inspect.Signature([*parse("self"), *parameters])
    module = f"{__package__}.{base.__module__.split('.')[1]}"
    return type(what, (*mixin, base), {"__init__": __init__, "__doc__": base.__doc__, "__module__": module,
                                      "_stands_for": base})  # fmt: skip


# Of every optimizer.
_OPTIONS = {"weight_decay", "clipnorm", "clipvalue", "global_clipnorm"}


def lacks(instance, name):
    """Return the AttributeError for what a part does not have: one line that says what it has."""
    what = type(instance).__name__
    names = ", ".join(sorted(key for key in dir(instance) if not key.startswith("_")))
    return AttributeError(f"{what} has no {name!r}; supported are {names}", name=name, obj=instance)


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
