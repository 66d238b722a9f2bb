"""Matrix products as loops of register tiles over panels, each thread with its share of the tiles.

A thread's share depends on the number of threads, what is computed for a tile does not: the sum over the depth is
always whole and in one order.
"""

from . import layout
from .cache import inline, jit, routine
from .intrinsics import at, outlined
from .microkernel import panel, tile, turn, vector_size
from .processor import ROWS

panel_of, tall_parts = jit(panel), jit(layout.tall_parts)


@inline
def blocks(n, size):
    """How many blocks of `size` cover n."""
    return (n + size - 1) // size


@inline
def share(n, team):
    """The range of n tasks that is this thread's, of (thread, threads)."""
    return n * team[0] // team[1], n * (team[0] + 1) // team[1]


@inline
def tall(depth, itemsize):
    """Rows of a left factor, whole tiles of them, that stay in a second-level cache."""
    return max(4, layout.L2_BLOCK // (depth * itemsize * ROWS)) * ROWS


@routine
def multiply(a, row, step, chunk, jump, rows, b, width, depth, s, c):
    """C = S + A B for one panel of B and of C.

    Shapes: A (rows, depth), B (depth, width), S (width,), C (rows, width).
    Layout: A by strides as for `tile`; B, C contiguous, C with room for whole tiles.
    Aliasing: none.
    """
    outlined()
    for i in range(0, rows, ROWS):
        place = at(c, i * width)
        tile(width, depth, at(a, i * row), min(ROWS, rows - i), row, step, chunk, jump, b, s, 0, place, width)


@jit
def turn_rows(source, panel, first, last, across, high, place):
    """Rows first..last of one panel into the panels of the transpose.

    Shapes: source (any, panel); place (high, any): `panel` of its rows.
    Layout: place lies in panels `across` wide and `high` rows high; `first` is a multiple of a vector.
    Aliasing: none.
    """
    outlined()
    lanes = vector_size(source)
    for r in range(first, last, lanes):
        out = at(place, r // across * high * across + r % across)
        for c in range(0, panel, lanes):
            turn(at(source, r * panel + c), panel, at(out, c * across), across)


@jit
def turn_weights(w, panel, across, n, deep, place):
    """One panel of the transpose of W (any, n): its rows are `across` columns of it.

    Layout: w points to the first of these rows, in panels `deep` rows high; place (n, across) with room for panels.
    Aliasing: none.
    """
    outlined()
    lanes = vector_size(w)
    for c in range(0, blocks(n, panel) * panel, lanes):
        start = at(w, c // panel * deep * panel + c % panel)
        for r in range(0, across, lanes):
            turn(at(start, r * panel), panel, at(place, c * across + r), across)
