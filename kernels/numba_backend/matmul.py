"""Matrix products as loops of register tiles over panels, each thread with its share of the tiles.

A thread's share depends on the number of threads, what is computed for a tile does not: the sum over the depth is
always whole and in one order.
"""

from .cache import jit
from .intrinsics import at, outlined, view
from .microkernel import ROWS, panel_width, tile


@jit
def share(n, thread, threads):
    """The range of n tasks that is this thread's."""
    return n * thread // threads, n * (thread + 1) // threads


@jit
def multiply(a, row, step, b, b_panel, b_step, m, depth, n, out, pitch, bias, has_bias, buffer, share_):
    """out = A B (+ bias), the rows of tiles innermost: a panel of B serves all of A.

    Shapes: A (m, depth), B (depth, n), out (m, n), bias (n,).
    Layout: A(i, d) at i * row + d * step; B in panels `b_panel` apart with rows `b_step` apart; out's rows are
    `pitch` apart; buffer is this thread's tile.
    Aliasing: none.
    """
    outlined()
    thread, threads = share_
    panel = panel_width(a)
    tiles = (m + ROWS - 1) // ROWS
    panels = (n + panel - 1) // panel
    first, last = share(tiles * panels, thread, threads)
    block = view(buffer, ROWS * panel)
    for task in range(first, last):
        j, i = task // tiles * panel, task % tiles * ROWS
        rows, columns = min(ROWS, m - i), min(panel, n - j)
        tile(columns, depth, at(a, i * row), rows, row, step, depth, 0, at(b, task // tiles * b_panel), b_step, buffer)
        for r in range(rows):
            line = block[r * panel : r * panel + columns]
            place = at(out, (i + r) * pitch + j)
            if has_bias:
                z, c = view(place, columns), view(at(bias, j), columns)
                for k in range(columns):
                    z[k] = line[k] + c[k]
            else:
                z = view(place, columns)
                for k in range(columns):
                    z[k] = line[k]


@jit
def multiply_turned(w, w_panel, turned, rows, n_in, n_out, out, pitch, buffer, share_):
    """out = D W^T as (W D^T)^T, the panels of D^T innermost: W, the larger one, is read once.

    Shapes: W (n_in, n_out), D (rows, n_out), out (rows, n_in).
    Layout: W in panels `w_panel` apart; `turned` holds D^T in panels (rows / WIDTH, n_out, WIDTH); out's rows are
    `pitch` apart; buffer is this thread's tile.
    Aliasing: none.
    """
    outlined()
    thread, threads = share_
    panel = panel_width(w)
    tiles = (n_in + ROWS - 1) // ROWS
    panels = (rows + panel - 1) // panel
    first, last = share(tiles * panels, thread, threads)
    block = view(buffer, ROWS * panel)
    for task in range(first, last):
        k, j = task // panels * ROWS, task % panels
        height, columns = min(ROWS, n_in - k), min(panel, rows - j * panel)
        d = at(turned, j * panel * n_out)
        tile(columns, n_out, at(w, k * panel), height, panel, 1, panel, w_panel, d, panel, buffer)
        for c in range(columns):
            line = view(at(out, (j * panel + c) * pitch + k), height)
            for r in range(height):
                line[r] = block[r * panel + c]


@jit
def turn(rows, n, d, pitch, turned, first):
    """Write rows of D into the panels of D^T.

    Shapes: D (rows, n) from row `first` of the batch on.
    Layout: D's rows are `pitch` apart; panels as above; the rows lie within one panel.
    Aliasing: none.
    """
    outlined()
    panel = panel_width(d)
    start = first // panel * panel * n + first % panel
    source, place = view(d, rows * pitch), view(at(turned, start), n * panel)
    for j in range(n):
        for i in range(rows):
            place[j * panel + i] = source[i * pitch + j]


@jit
def pack_panels(b, row, step, depth, n, panels, share_):
    """Copy any matrix into panels.

    Shapes: B (depth, n).
    Layout: B(d, j) at d * row + j * step; panels (n / WIDTH, depth, WIDTH).
    Aliasing: none.
    """
    outlined()
    thread, threads = share_
    panel = panel_width(b)
    first, last = share((n + panel - 1) // panel, thread, threads)
    for j in range(first, last):
        columns = min(panel, n - j * panel)
        for d in range(depth):
            line = view(at(panels, (j * depth + d) * panel), columns)
            source = view(at(b, d * row + j * panel * step), (columns - 1) * step + 1)
            for k in range(columns):
                line[k] = source[k * step]
