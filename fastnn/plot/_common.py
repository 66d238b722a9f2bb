"""What all pictures share: the figure, the colours, and how texts are treated."""

BLUE, RED, GREY = "#0072b2", "#c8370a", "#8c8c8c"  # tell apart for the colour-blind, and unequal in grey
_MAX_NAME = 18  # characters of a name that a picture shows


def new_figure(width=None, height=None):
    """Return an empty figure of so many inches, without pyplot: no window, no global list of figures, no backend."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'fastnn.plot needs matplotlib: pip install matplotlib, or pip install -e ".[plot]" in a checkout'
        ) from error
    return Figure(figsize=None if width is None else (width, height), dpi=120, layout="constrained")


def shorten(name, limit=_MAX_NAME):
    """Cut a name that is too long for a picture."""
    return name if len(name) <= limit else name[: limit - 1] + "…"
