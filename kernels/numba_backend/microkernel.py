"""The register tile: the only place that knows how wide a vector is.

A tile is 8 rows by 1, 2 or 3 vectors of columns of C = S + A B, summed over the depth:

            B panel (depth, WIDTH)      a vector holds LANES columns of one row
            [ v0 ][ v1 ][ v2 ]
    A   a0  [ c00][ c01][ c02]          every c stays in a register while the depth goes by; each step loads the
        ..     ..                       vectors of one row of B, and spreads one number of A over a vector for each
        a7  [ c70][ c71][ c72]          row of the tile

On AVX-512 that is 24 accumulators, 3 vectors of B and 1 of A out of 32 registers. With 16 registers (AVX2, SSE) the
tile has 6 rows by 2 vectors, with 32 narrow ones (NEON) 8 by 2. A batch of one row has a tile of its own.

B lies in panels as wide as the tile, and so does C, unless it is the caller's matrix. A(r, d) is read where it lies,
element by element, so it needs no packing: rows lie `row` apart, the depth `step` apart, and after every `chunk` steps
of depth the walk goes on `jump` after where the chunk began. Rows beyond `rows` repeat the last one: nothing outside A
is read. The sums begin with the rows of S, `start_step` apart: a bias (0 apart), zeros, or C itself.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .intrinsics import I32, I64
from .processor import FMA, LANES, MATRIX_UNIT, ROWS, VECTORS


def lanes(itemsize):
    """Numbers in a vector."""
    return LANES * 4 // itemsize


def panel(n, lanes):
    """Width of the panels that a matrix of n columns lies in: the widest that hardly pads, or what pads least; for the
    matrix unit two vectors."""
    vectors = (n + lanes - 1) // lanes
    if MATRIX_UNIT and lanes == LANES:
        return min(vectors, 2) * lanes
    best, least = 1, vectors
    for width in range(VECTORS, 0, -1):
        padded = (vectors + width - 1) // width * width
        if 8 * (padded - vectors) < vectors:
            return width * lanes
        if padded < least:
            best, least = width, padded
    return best * lanes


def spread(builder, number, count):
    """A vector of `count` times the same number."""
    vector = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    one = builder.insert_element(vector, number, I32(0))
    return builder.shuffle_vector(one, vector, ir.Constant(ir.VectorType(I32, count), None))


def load_some(builder, p, n, vector, align):
    """The first n numbers of a vector, and zeros: nothing behind them is read."""
    name = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}.get(vector.element, "i8")
    lane = vector.element if name == "i8" else I32
    place, inside = builder.bitcast(p, vector.as_pointer()), below(builder, n, vector.count, lane)
    kinds = [place.type, I32, inside.type, vector]
    load = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, kinds), f"llvm.masked.load.v{vector.count}{name}.p0"
    )
    return builder.call(load, [place, I32(align), inside, ir.Constant(vector, None)])


def below(builder, n, count, lane=I32):
    """Which lanes of a vector are among the first n."""
    numbers = ir.Constant(ir.VectorType(lane, count), list(range(count)))
    return builder.icmp_signed("<", numbers, spread(builder, builder.trunc(n, lane), count))


@intrinsic
def vector_size(typingctx, like):
    """`lanes` of numbers like this, or that this points to, as a constant of the compiled code."""
    value = lanes(getattr(like, "dtype", like).bitwidth // 8)

    def generate(context, builder, signature, args):
        return I64(value)

    return types.int64(like), generate


@intrinsic
def read_vector(typingctx, source, factor, out):
    """One vector of `out` from as many real numbers, or from uint8 ones times `factor`.

    LLVM would unroll a loop of so few rounds, and then make no vector code of it.
    """
    real = out.dtype
    count = lanes(real.bitwidth // 8)

    def generate(context, builder, signature, args):
        source, factor, out = args
        vector = ir.VectorType(context.get_value_type(real), count)
        packed = ir.VectorType(source.type.pointee, count)
        numbers = builder.load(
            builder.bitcast(source, packed.as_pointer()), align=signature.args[0].dtype.bitwidth // 8
        )
        if signature.args[0].dtype == types.uint8:
            numbers = builder.fmul(builder.uitofp(numbers, vector), spread(builder, factor, count))
        builder.store(numbers, builder.bitcast(out, vector.as_pointer()), align=real.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(source, real, out), generate


@intrinsic
def tile(typingctx, width, depth, a, rows, row, step, chunk, jump, b, start, start_step, c, c_step):
    """Compute one tile.

    Shapes: A (rows, depth), B (depth, width), S (ROWS, width) or (width,), c (ROWS, width), of which at least `rows`
    are written; width is one of those of `panel`.
    Layout: A, S and c by strides as above, B contiguous. Strides count elements.
    Aliasing: c may be S.
    """
    real = a.dtype
    count = lanes(real.bitwidth // 8)

    def generate(context, builder, signature, args):
        width, *rest = args
        rows = rest[2]
        done = builder.append_basic_block("tile.done")
        shapes = [(height, vectors) for height in (ROWS, 1) for vectors in range(1, VECTORS + 1)]
        blocks = [builder.append_basic_block(f"tile.{height}x{vectors}") for height, vectors in shapes]
        alone = builder.zext(builder.icmp_signed("==", rows, I64(1)), I64)
        which = builder.add(builder.sdiv(width, I64(count)), builder.mul(alone, I64(VECTORS)))
        switch = builder.switch(which, blocks[0])
        for number, ((height, vectors), block) in enumerate(zip(shapes, blocks, strict=True), 1):
            if number > 1:
                switch.add_case(I64(number), block)
            builder.position_at_end(block)
            _generate_tile(builder, context.get_value_type(real), count, height, vectors, *rest)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index = types.int64
    return types.none(index, index, a, index, index, index, index, index, a, a, index, a, index), generate


def _multiply_add(builder, a, b, c):
    """a b + c of vectors, rounded once where the processor can."""
    if not FMA:
        return builder.fadd(builder.fmul(a, b), c)
    kind = "f32" if a.type.count == LANES else "f64"
    function = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.fma.v{a.type.count}{kind}"), [a, b, c]
    )


def _generate_tile(
    builder, real, count, height, vectors, depth, a, rows, row, step, chunk, jump, b, start, apart, c, c_step
):
    vector = ir.VectorType(real, count)
    align = 4 if count == LANES else 8  # a number's, for the caller's matrices
    width = vectors * count

    def load(p, i):
        return builder.load(builder.bitcast(builder.gep(p, [i]), vector.as_pointer()), align=align)

    last = builder.sub(rows, I64(1))
    starts = []
    for r in range(height):
        inside = builder.icmp_signed("<", I64(r), rows)
        starts.append(builder.mul(builder.select(inside, I64(r), last), row))

    def loop(left, carried, body):
        """``used, carried = body(left, carried)`` until none of `left` >= 1 is left; the last `carried`."""
        before, block = builder.block, builder.append_basic_block()
        builder.branch(block)
        builder.position_at_end(block)
        phis = [builder.phi(v.type) for v in (left, *carried)]
        used, results = body(phis[0], phis[1:])
        rest = builder.sub(phis[0], used)
        for phi, first, value in zip(phis, (left, *carried), (rest, *results), strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(value, builder.block)
        after = builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", rest, I64(0)), block, after)
        builder.position_at_end(after)
        return results

    def one_step(left, carried):
        a, b, *sums = carried
        columns = [load(b, I64(v * count)) for v in range(vectors)]
        for r in range(height):
            number = spread(builder, builder.load(builder.gep(a, [starts[r]])), count)
            for v in range(vectors):
                k = r * vectors + v
                sums[k] = _multiply_add(builder, number, columns[v], sums[k])
        return I64(1), [builder.gep(a, [step]), builder.gep(b, [I64(width)]), *sums]

    def one_chunk(left, carried):
        a, b, *sums = carried
        n = builder.select(builder.icmp_signed("<", left, chunk), left, chunk)
        _, b, *sums = loop(n, [a, b, *sums], one_step)
        return n, [builder.gep(a, [jump]), b, *sums]

    places = [(r, v) for r in range(height) for v in range(vectors)]
    sums = [load(start, builder.add(builder.mul(I64(r), apart), I64(v * count))) for r, v in places]
    sums = loop(depth, [a, b, *sums], one_chunk)[2:]
    for (r, v), total in zip(places, sums, strict=True):
        p = builder.gep(c, [builder.add(builder.mul(I64(r), c_step), I64(v * count))])
        builder.store(total, builder.bitcast(p, vector.as_pointer()), align=align)


@intrinsic
def add_outer(typingctx, width, count, a, step, depth, b, c):
    """C += A B, a term of the product after the other: for a few terms, and a C that stays in the first-level cache.

    Shapes: A (count, depth), B (depth, width), C (count, width); width is one of those of `panel`.
    Layout: A(r, d) at r + d * step, B and C contiguous.
    Aliasing: none.
    """
    real = a.dtype
    size = lanes(real.bitwidth // 8)

    def generate(context, builder, signature, args):
        width, count, a, step, depth, b, c = args
        number = context.get_value_type(real)
        vector, align = ir.VectorType(number, size), real.bitwidth // 8
        done = builder.append_basic_block("outer.done")
        cases = [builder.append_basic_block(f"outer.{vectors}") for vectors in range(1, VECTORS + 1)]
        switch = builder.switch(builder.sdiv(width, I64(size)), cases[0])

        def place(p, i, v):
            start = builder.add(builder.mul(i, width), I64(v * size))
            return builder.bitcast(builder.gep(p, [start]), vector.as_pointer())

        for vectors, case in enumerate(cases, 1):
            if vectors > 1:
                switch.add_case(I64(vectors), case)
            builder.position_at_end(case)
            with cgutils.for_range(builder, depth) as term:
                line = [builder.load(place(b, term.index, v), align=align) for v in range(vectors)]
                start = builder.mul(term.index, step)
                with cgutils.for_range(builder, count) as row:
                    factor = spread(builder, builder.load(builder.gep(a, [builder.add(start, row.index)])), size)
                    for v, numbers in enumerate(line):
                        p = place(c, row.index, v)
                        total = builder.load(p, align=align)
                        builder.store(_multiply_add(builder, factor, numbers, total), p, align=align)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index = types.int64
    return types.none(index, index, a, index, index, a, a), generate


@intrinsic
def add_outer_and_multiply(typingctx, width, count, a, b, other, c, sums):
    """C += A B for one column A and one row B, then sums += other' C for another column, in one pass over C.

    Shapes: A, other (count,), B, sums (width,), C (count, width); width is one of those of `panel`.
    Layout: contiguous.
    Aliasing: none.
    """
    real = a.dtype
    size = lanes(real.bitwidth // 8)

    def generate(context, builder, signature, args):
        width, count, a, b, other, c, sums = args
        vector, align = ir.VectorType(context.get_value_type(real), size), real.bitwidth // 8
        done = builder.append_basic_block("outer.done")
        cases = [builder.append_basic_block(f"outer.{vectors}") for vectors in range(1, VECTORS + 1)]
        switch = builder.switch(builder.sdiv(width, I64(size)), cases[0])

        def place(p, start):
            return builder.bitcast(builder.gep(p, [start]), vector.as_pointer())

        for vectors, case in enumerate(cases, 1):
            if vectors > 1:
                switch.add_case(I64(vectors), case)
            builder.position_at_end(case)
            parts = [I64(v * size) for v in range(vectors)]
            line = [builder.load(place(b, start), align=align) for start in parts]
            totals = [cgutils.alloca_once(builder, vector) for _ in parts]  # LLVM keeps them in registers
            for total, start in zip(totals, parts, strict=True):
                builder.store(builder.load(place(sums, start), align=align), total)
            with cgutils.for_range(builder, count) as row:
                factor, weight = (spread(builder, builder.load(builder.gep(p, [row.index])), size) for p in (a, other))
                for total, numbers, start in zip(totals, line, parts, strict=True):
                    p = place(c, builder.add(builder.mul(row.index, width), start))
                    new = _multiply_add(builder, factor, numbers, builder.load(p, align=align))
                    builder.store(new, p, align=align)
                    builder.store(_multiply_add(builder, weight, new, builder.load(total)), total)
            for total, start in zip(totals, parts, strict=True):
                builder.store(builder.load(total), place(sums, start), align=align)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index = types.int64
    return types.none(index, index, a, a, a, a, a), generate


def _turn(builder, rows, place):
    """Store the transpose of square `rows`, row i at `place(i)`."""
    count = len(rows)

    def mix(x, y, picked):
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, count), picked))

    h = count // 2
    while h:
        low = [i if not i & h else count + i - h for i in range(count)]
        high = [i + h if not i & h else count + i for i in range(count)]
        for i in range(count):
            if not i & h:
                rows[i], rows[i + h] = mix(rows[i], rows[i + h], low), mix(rows[i], rows[i + h], high)
        h //= 2
    for i, line in enumerate(rows):
        builder.store(line, builder.bitcast(place(i), line.type.as_pointer()), align=4 if count == LANES else 8)


@intrinsic
def turn(typingctx, a, a_step, b, b_step):
    """Transpose a square of as many rows and columns as a vector has numbers.

    In registers: halves are exchanged between rows h apart, for h = LANES / 2 ... 1; with 4 lanes:

        a0 a1 a2 a3        a0 a1 c0 c1        a0 b0 c0 d0
        b0 b1 b2 b3  h=2   b0 b1 d0 d1  h=1   a1 b1 c1 d1
        c0 c1 c2 c3  --->  a2 a3 c2 c3  --->  a2 b2 c2 d2
        d0 d1 d2 d3        b2 b3 d2 d3        a3 b3 c3 d3

    Shapes: a, b (LANES, LANES).
    Layout: rows `a_step` and `b_step` apart.
    Aliasing: none.
    """
    count = lanes(a.dtype.bitwidth // 8)

    def generate(context, builder, signature, args):
        a, a_step, b, b_step = args
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), count)
        align = 4 if count == LANES else 8

        def place(p, i, step):
            return builder.gep(p, [builder.mul(I64(i), step)])

        places = [builder.bitcast(place(a, i, a_step), vector.as_pointer()) for i in range(count)]
        _turn(builder, [builder.load(p, align=align) for p in places], lambda i: place(b, i, b_step))
        return context.get_dummy_value()

    index = types.int64
    return types.none(a, index, a, index), generate


@intrinsic
def turn_some(typingctx, a, a_step, rows, columns, b, b_step):
    """The same of so many rows and columns, with zeros for the others of the square. No others are read."""
    count = lanes(a.dtype.bitwidth // 8)

    def generate(context, builder, signature, args):
        a, a_step, rows, columns, b, b_step = args
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), count)
        lines = []
        for i in range(count):
            n = builder.select(builder.icmp_signed("<", I64(i), rows), columns, I64(0))
            place = builder.gep(a, [builder.mul(I64(i), a_step)])
            lines.append(load_some(builder, place, n, vector, 4 if count == LANES else 8))
        _turn(builder, lines, lambda i: builder.gep(b, [builder.mul(I64(i), b_step)]))
        return context.get_dummy_value()

    index = types.int64
    return types.none(a, index, index, index, a, index), generate


@intrinsic
def copy_some(typingctx, source, n, out):
    """The first n numbers of a vector; the others of `out` become zeros."""
    count = lanes(source.dtype.bitwidth // 8)

    def generate(context, builder, signature, args):
        source, n, out = args
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), count)
        align = 4 if count == LANES else 8
        numbers = load_some(builder, source, n, vector, align)
        builder.store(numbers, builder.bitcast(out, vector.as_pointer()), align=align)
        return context.get_dummy_value()

    return types.none(source, types.int64, out), generate
