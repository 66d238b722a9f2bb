"""The register tile: the only place that knows how wide a vector is.

A tile is 8 rows by up to 3 vectors of columns of C = A B, summed over the depth:

            B panel (depth, WIDTH)      a vector holds LANES columns of one row
            [ v0 ][ v1 ][ v2 ]
    A   a0  [ c00][ c01][ c02]          every c stays in a register while the depth goes by; each step loads up to
        ..     ..                       three vectors of B, and spreads one number of A over a vector for each row
        a7  [ c70][ c71][ c72]

On AVX-512 that is 24 accumulators, 3 vectors of B and 1 of A out of 32 registers. With 16 registers (AVX2, SSE) the
tile has 6 rows by 2 vectors, with 32 narrow ones (NEON) 8 by 2.

A(r, d) is read where it lies, element by element, so it needs no packing: rows lie `row` apart, the depth `step`
apart, and after every `chunk` steps of depth the walk goes on `jump` after where the chunk began. Rows beyond `rows`
repeat the last one: nothing outside A is read. The result goes to a small buffer (ROWS, WIDTH), never to C itself:
edges, biases and updates are the business of plain loops over that buffer.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from .intrinsics import I64, X86


def _features():
    # Numba's own idea of the CPU, which its settings can narrow.
    names = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return {name[1:] for name in names.split(",") if name.startswith("+")}


FEATURES = _features()
FMA = "fma" in FEATURES or not X86
# float32 numbers in a vector. The variable lets one machine test the tiles of others.
LANES = int(os.environ.get("FASTNN_NUMBA_LANES") or (16 if "avx512f" in FEATURES else 8 if "avx2" in FEATURES else 4))
ROWS, VECTORS = (8, 3) if LANES == 16 else (6, 2) if X86 else (8, 2)
# Everything that is compiled into the code besides its source.
VARIANT = f"{LANES}x{ROWS}x{VECTORS}" + ("" if FMA else "-nofma")


def lanes(itemsize):
    """Numbers in a vector."""
    return LANES * 4 // itemsize


def width(itemsize):
    """Columns of a panel and of a tile."""
    return VECTORS * lanes(itemsize)


@intrinsic
def panel_width(typingctx, p):
    """`width` of the elements that `p` points to, as a constant of the compiled code."""
    value = width(p.dtype.bitwidth // 8)

    def generate(context, builder, signature, args):
        return I64(value)

    return types.int64(p), generate


@intrinsic
def tile(typingctx, columns, depth, a, rows, row, step, chunk, jump, b, b_step, c):
    """Compute one tile into the buffer `c`.

    Shapes: A (rows, depth), B (depth, columns), c (ROWS, WIDTH); columns are rounded up to vectors.
    Layout: A by strides as above; B's rows are `b_step` apart; c contiguous. Strides count elements.
    Aliasing: none.
    """
    real = a.dtype
    count = lanes(real.bitwidth // 8)

    def generate(context, builder, signature, args):
        columns, *rest = args
        done = builder.append_basic_block("tile.done")
        first = builder.append_basic_block("tile.1")
        blocks = {n: first if n == 1 else builder.append_basic_block(f"tile.{n}") for n in range(1, VECTORS + 1)}
        # As many vectors as the columns need.
        switch = builder.switch(builder.sdiv(builder.add(columns, I64(count - 1)), I64(count)), blocks[VECTORS])
        for vectors, block in blocks.items():
            if vectors < VECTORS:
                switch.add_case(I64(vectors), block)
            builder.position_at_end(block)
            _generate_tile(builder, context.get_value_type(real), count, vectors, *rest)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index = types.int64
    return types.none(index, index, a, index, index, index, index, index, b, index, c), generate


def _generate_tile(builder, real, count, vectors, depth, a, rows, row, step, chunk, jump, b, b_step, c):
    vector = ir.VectorType(real, count)
    zero_mask = ir.Constant(ir.VectorType(ir.IntType(32), count), None)
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{count}{'f32' if count == LANES else 'f64'}"
    )
    align = 4 if count == LANES else 8  # a number's, for the caller's matrices

    def load(p, i):
        return builder.load(builder.bitcast(builder.gep(p, [I64(i)]), vector.as_pointer()), align=align)

    last = builder.sub(rows, I64(1))
    starts = []
    for r in range(ROWS):
        inside = builder.icmp_signed("<", I64(r), rows)
        starts.append(builder.mul(builder.select(inside, I64(r), last), row))

    def loop_of(n, carried, body):
        """`n` >= 1 rounds of ``carried = body(carried)``; the last `carried`."""
        before, block = builder.block, builder.append_basic_block()
        builder.branch(block)
        builder.position_at_end(block)
        phis = [builder.phi(v.type) for v in (I64(0), *carried)]
        results = body(phis[1:])
        counter = builder.add(phis[0], I64(1))
        for phi, start, value in zip(phis, (I64(0), *carried), (counter, *results), strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(value, builder.block)
        after = builder.append_basic_block()
        builder.cbranch(builder.icmp_signed("<", counter, n), block, after)
        builder.position_at_end(after)
        return results

    def one_step(carried):
        a, b, *sums = carried
        columns = [load(b, v * count) for v in range(vectors)]
        for r in range(ROWS):
            number = builder.load(builder.gep(a, [starts[r]]))
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            spread = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zero_mask)
            for v in range(vectors):
                k = r * vectors + v
                if FMA:
                    sums[k] = builder.call(fma, [spread, columns[v], sums[k]])
                else:
                    sums[k] = builder.fadd(builder.fmul(spread, columns[v]), sums[k])
        return [builder.gep(a, [step]), builder.gep(b, [b_step]), *sums]

    def one_chunk(carried):
        left, a, b, *sums = carried
        n = builder.select(builder.icmp_signed("<", left, chunk), left, chunk)
        _, b, *sums = loop_of(n, [a, b, *sums], one_step)
        return [builder.sub(left, n), builder.gep(a, [jump]), b, *sums]

    chunks = builder.sdiv(builder.add(depth, builder.sub(chunk, I64(1))), chunk)
    sums = [ir.Constant(vector, None)] * (ROWS * vectors)
    sums = loop_of(chunks, [depth, a, b, *sums], one_chunk)[3:]
    for r in range(ROWS):
        for v in range(vectors):
            p = builder.gep(c, [I64(r * VECTORS * count + v * count)])
            builder.store(sums[r * vectors + v], builder.bitcast(p, vector.as_pointer()), align=align)
