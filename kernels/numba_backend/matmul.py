"""Matrix products as loops of register tiles over panels, each thread with its share of the tiles.

A thread's share depends on the number of threads, what is computed for a tile does not: the sum over the depth is
always whole and in one order.
"""

from . import layout
from .cache import inline, jit, routine
from .intrinsics import at, outlined, prefetch, view
from .microkernel import panel, read_vector, tile, turn, vector_size
from .processor import ROWS

panel_of, tall_parts = jit(panel), jit(layout.tall_parts)

# Rows of the caller's matrix that are on their way from memory while one is copied.
AHEAD = 16


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
        tile(width, depth, at(a, i * row), min(ROWS, rows - i), row, step, chunk, jump, b, s, 0, at(c, i * width))


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


@jit
def pack(source, row, step, depth, n, width, j, panels):
    """Copy panel j of any matrix (depth, n).

    Layout: source(d, c) at d * row + c * step; panels [n / width][depth][width].
    Aliasing: none.
    """
    outlined()
    columns, factor, lanes = min(width, n - j * width), view(source, 1)[0], vector_size(source)
    turned = depth // lanes * lanes if row == 1 and columns == width else 0
    for d in range(0, turned, lanes):
        for c in range(0, width, lanes):
            turn(at(source, d + (j * width + c) * step), step, at(panels, (j * depth + d) * width + c), width)
    for d in range(turned, depth):
        place, first = at(panels, (j * depth + d) * width), at(source, d * row + j * width * step)
        if step == 1 and columns == width:
            for c in range(0, width, lanes):
                prefetch(at(first, AHEAD * row + c))
                read_vector(at(first, c), factor, at(place, c))
            continue
        line, part = view(place, columns), view(first, (columns - 1) * step + 1)
        for c in range(columns):
            line[c] = part[c * step]
