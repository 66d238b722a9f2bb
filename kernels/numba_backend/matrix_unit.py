"""Float32 products on the matrix unit of a processor (AMX), which multiplies numbers of bfloat16 and sums in float32.

A float32 has 24 significant bits and a bfloat16 eight: x = h + m + l, each part the nearest to what is left. Six of the
nine products of the parts of two numbers count, smallest first; what is left out is below 2^-23 of the product:

    a b = ah bl + ah bm + am bm + am bh + al bh + ah bh

32 products are summed with one rounding, so that results are nearer to the exact ones than those of a chain of
multiply-adds (Henry, Tang, Heinecke 2019). The unit makes 16 times as many products as vectors do.

Both factors are cut into blocks of 32 x 32, with zeros beyond the summed depth. A block is three parts of two tiles:

    left factor (row r, depth k):     [part][r / 16][r % 16][k % 16][k / 16]
    right factor (depth k, column c): [part][c / 16][k % 16][c % 16][k / 16]

so that 16 pairs of numbers, 16 apart, are two vectors lane by lane. Addresses count float32 numbers, two parts each.

What is infinite, NaN or too large for a bfloat16 makes all sums that it is part of infinite or NaN. Those, and no
others, are computed again by `microkernel.tile`.
"""

from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .cache import jit, routine
from .intrinsics import I32, I64, at, call, fetch_line, outlined
from .layout import BLOCK_PARTS, PART, SIDE
from .matmul import blocks
from .microkernel import below, load_some, spread
from .processor import LANES, MATRIX_UNIT, ROWS

_TILE = PART // 2
I8, I16 = ir.IntType(8), ir.IntType(16)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_BITS = ir.VectorType(I32, LANES)
# Parts of the left and of the right factor, in the order of their products.
_ORDER = (0, 2), (0, 1), (1, 1), (1, 0), (2, 0), (0, 0)
_ORDER_THIN = (0, 2), (0, 1), (0, 0)

llvm.initialize_native_asmparser()  # for the no-operations below


def _unit(builder, name, *args):
    function = ir.FunctionType(ir.VoidType(), [arg.type for arg in args])
    builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.{name}"), args)


def _vector(builder, p):
    return builder.bitcast(p, _VECTOR.as_pointer())


@intrinsic
def begin_tiles(typingctx):
    """Tell this thread's matrix unit, if there is one, how large its tiles are: 16 rows of 64 bytes."""

    def generate(context, builder, signature, args):
        if MATRIX_UNIT:
            sizes = bytearray(64)
            sizes[0], sizes[16:32:2], sizes[48:56] = 1, bytes([64] * 8), bytes([16] * 8)
            kind = ir.ArrayType(I8, 64)
            place = cgutils.global_constant(builder, "tiles", ir.Constant(kind, sizes))
            _unit(builder, "ldtilecfg", builder.bitcast(place, cgutils.voidptr_t))
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def end_tiles(typingctx):
    """Give the registers back: what is in them would be kept whenever another thread runs."""

    def generate(context, builder, signature, args):
        if MATRIX_UNIT:
            _unit(builder, "tilerelease")
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def _split_pair(typingctx, low, n_low, high, n_high, out):
    """Two vectors, of which the first n_low and n_high numbers count, into parts, a pair in each lane."""

    def generate(context, builder, signature, args):
        low, n_low, high, n_high, out = args
        kept = ir.Constant(_BITS, [0xFFFF0000] * LANES)
        rest = [load_some(builder, p, n, _VECTOR, 4) for p, n in ((low, n_low), (high, n_high))]
        for part in range(3):
            half = ir.Constant(_BITS, [0x8000 if part < 2 else 0] * LANES)  # the third part is all that is left
            a, b = (builder.add(builder.bitcast(x, _BITS), half) for x in rest)
            pair = builder.or_(builder.lshr(a, ir.Constant(_BITS, [16] * LANES)), builder.and_(b, kept))
            place = builder.bitcast(builder.gep(out, [I64(part * PART)]), _BITS.as_pointer())
            builder.store(pair, place, align=4)
            rest = [
                builder.fsub(x, builder.bitcast(builder.and_(bits, kept), _VECTOR))
                for x, bits in zip(rest, (a, b), strict=True)
            ]
        return context.get_dummy_value()

    return types.none(low, types.int64, high, types.int64, out), generate


def _read_bytes(builder, p, n):
    """Two vectors from 32 bytes, of which the first n are read, and the others are zeros."""
    kind, zeros = ir.VectorType(I8, SIDE), ir.Constant(ir.VectorType(I8, SIDE), None)
    numbers = load_some(builder, p, n, kind, 1)
    halves = [ir.Constant(_BITS, list(range(start, start + LANES))) for start in (0, LANES)]
    return [builder.uitofp(builder.shuffle_vector(numbers, zeros, half), _VECTOR) for half in halves]


@intrinsic
def split_bytes(typingctx, first, n_first, second, n_second, out, crossed):
    """Rows r and r + 16 of a block of a thin left factor, from bytes of which the first n_first and n_second are there.

    Rows of `out` are those of the block. In rows of `crossed` the pairs are what the two rows have in a column: in one
    of the first 16 columns, and a tile further on of the others. Both tiles turned are the transpose of the block.
    """

    def generate(context, builder, signature, args):
        first, n_first, second, n_second, out, crossed = args
        (a, b), (c, d) = _read_bytes(builder, first, n_first), _read_bytes(builder, second, n_second)
        for low, high, p, start in ((a, b, out, 0), (c, d, out, _TILE), (a, c, crossed, 0), (b, d, crossed, _TILE)):
            pair = builder.lshr(builder.bitcast(low, _BITS), ir.Constant(_BITS, [16] * LANES))
            pair = builder.or_(pair, builder.bitcast(high, _BITS))
            builder.store(pair, builder.bitcast(builder.gep(p, [I64(start)]), _BITS.as_pointer()), align=4)
        return context.get_dummy_value()

    index = types.int64
    return types.none(first, index, second, index, out, crossed), generate


@intrinsic
def _join_bytes(typingctx, row, scale, out):
    """A row of a block of a thin left factor as numbers, times scale."""

    def generate(context, builder, signature, args):
        row, scale, out = args
        pair = builder.load(builder.bitcast(row, _BITS.as_pointer()), align=4)
        low = builder.shl(pair, ir.Constant(_BITS, [16] * LANES))
        high = builder.and_(pair, ir.Constant(_BITS, [0xFFFF0000] * LANES))
        for start, bits in ((0, low), (LANES, high)):
            numbers = builder.fmul(builder.bitcast(bits, _VECTOR), spread(builder, scale, LANES))
            builder.store(numbers, _vector(builder, builder.gep(out, [I64(start)])), align=4)
        return context.get_dummy_value()

    return types.none(row, scale, out), generate


@intrinsic
def _sum_blocks(typingctx, count, a, b, thin, tall, wide, c, step):
    """C = the sum of `count` products of blocks, left ones of one part if `thin`; both halves of its rows if `tall`, of
    its columns if `wide`."""

    def generate(context, builder, signature, args):
        count, a, b, thin, tall, wide, c, step = args
        done = builder.append_basic_block("sum.done")
        which = I64(0)
        for bit, wish in enumerate((thin, tall, wide)):
            which = builder.add(which, builder.mul(builder.zext(wish, I64), I64(1 << bit)))
        cases = [builder.append_basic_block(f"sum.{number}") for number in range(8)]
        switch = builder.switch(which, cases[0])
        for number, case in enumerate(cases):
            if number:
                switch.add_case(I64(number), case)
            builder.position_at_end(case)
            rows, columns = range(1 + (number >> 1 & 1)), range(1 + (number >> 2))
            _generate_sum(builder, count, a, b, number & 1, rows, columns, c, step)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index, yes = types.int64, types.boolean
    return types.none(index, a, b, yes, yes, yes, a, index), generate


def _generate_sum(builder, count, a, b, thin, rows, columns, c, step):
    # Tiles 0 to 3 are C, 4 and 5 the left factor, 6 and 7 the right one.
    def address(p, numbers):
        return builder.bitcast(builder.gep(p, [numbers]), cgutils.voidptr_t)

    def load(first, half, p, part):
        _unit(builder, "tileloadd64", I8(first + half), address(p, I64(part * PART + half * _TILE)), I64(64))
        builder.asm(ir.FunctionType(ir.VoidType(), []), "\n".join(["nop"] * 8), "", [], True)

    corners = [(r, v) for r in rows for v in columns]
    for r, v in corners:
        _unit(builder, "tilezero", I8(2 * r + v))
    with cgutils.for_range(builder, count) as loop:
        here = [
            builder.gep(p, [builder.mul(loop.index, I64(size))])
            for p, size in ((a, PART if thin else BLOCK_PARTS), (b, BLOCK_PARTS))
        ]
        # All here waits for the unit, and a thread that does nothing else meanwhile gets less than its half of a core
        # that it shares: products then take up to half as long again. So what comes next is fetched between the
        # products, little by little (of B, and before it of an A that has three parts), a tile is loaded as soon as
        # it is free, and instructions that do nothing follow.
        coming = [(p, BLOCK_PARTS + part * PART) for p in here[thin:] for part in range(3)]
        order = _ORDER_THIN if thin else _ORDER
        for p, part, first, halves in zip(here, order[0], (4, 6), (rows, columns), strict=True):
            for half in halves:
                load(first, half, p, part)
        for parts, following, (p, start) in zip(order, (*order[1:], None), coming, strict=True):
            left, right = (a != b for a, b in zip(parts, following or parts, strict=True))
            for number, (r, v) in enumerate(sorted(corners, key=lambda corner: corner[::-1]) if right else corners):
                _unit(builder, "tdpbf16ps", I8(2 * r + v), I8(4 + r), I8(6 + v))
                for line in range(number * PART // len(corners), (number + 1) * PART // len(corners), 16):
                    fetch_line(builder, builder.gep(p, [I64(start + line)]))
                if left and v == columns[-1]:
                    load(4, r, here[0], following[0])
                if right and r == rows[-1]:
                    load(6, v, here[1], following[1])
    for r, v in corners:
        start = builder.add(builder.mul(step, I64(16 * r)), I64(16 * v))
        _unit(builder, "tilestored64", I8(2 * r + v), address(c, start), builder.mul(step, I64(4)))


@intrinsic
def _finish(typingctx, c, step, rows, columns, scale, s):
    """C = scale C + S, a row; whether all of C is finite."""

    def generate(context, builder, signature, args):
        c, step, rows, columns, scale, s = args
        scale = spread(builder, scale, LANES)
        exponent = ir.Constant(_BITS, [0x7F800000] * LANES)
        found = cgutils.alloca_once_value(builder, I16(0))
        with cgutils.for_range(builder, builder.sdiv(builder.add(columns, I64(LANES - 1)), I64(LANES))) as part:
            start = builder.mul(part.index, I64(LANES))
            total = builder.load(_vector(builder, builder.gep(s, [start])), align=4)
            wrong = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(ir.IntType(1), LANES), None))
            with cgutils.for_range(builder, rows) as row:
                place = _vector(builder, builder.gep(c, [builder.add(start, builder.mul(row.index, step))]))
                line = builder.fadd(builder.fmul(builder.load(place, align=4), scale), total)
                builder.store(line, place, align=4)
                bits = builder.and_(builder.bitcast(line, _BITS), exponent)
                builder.store(builder.or_(builder.load(wrong), builder.icmp_unsigned("==", bits, exponent)), wrong)
            counted = builder.and_(builder.load(wrong), below(builder, builder.sub(columns, start), LANES))
            builder.store(builder.or_(builder.load(found), builder.bitcast(counted, I16)), found)
        return builder.icmp_unsigned("==", builder.load(found), I16(0))

    index = types.int64
    return types.boolean(c, index, index, index, scale, s), generate


@intrinsic
def _put_rows(typingctx, block, rows, columns, add, out, step):
    """OUT = a block of sums, or OUT + the block if `add`; whether all of it is finite."""

    def generate(context, builder, signature, args):
        block, rows, columns, add, out, step = args
        exponent = ir.Constant(_BITS, [0x7F800000] * LANES)
        wrong = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(ir.IntType(1), LANES), None))
        kinds = [_VECTOR, _VECTOR.as_pointer(), I32, ir.VectorType(ir.IntType(1), LANES)]
        store = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), kinds), f"llvm.masked.store.v{LANES}f32.p0"
        )
        for start in range(0, SIDE, LANES):
            rest = builder.sub(columns, I64(start))
            inside, old = below(builder, rest, LANES), builder.select(add, rest, I64(0))
            with cgutils.for_range(builder, rows) as row:
                source = builder.gep(block, [builder.add(builder.mul(row.index, I64(SIDE)), I64(start))])
                place = builder.gep(out, [builder.add(builder.mul(row.index, step), I64(start))])
                sums = builder.load(_vector(builder, source), align=4)
                line = builder.fadd(sums, load_some(builder, place, old, _VECTOR, 4))
                builder.call(store, [line, _vector(builder, place), I32(4), inside])
                bits = builder.and_(builder.bitcast(line, _BITS), exponent)
                found = builder.and_(builder.icmp_unsigned("==", bits, exponent), inside)
                builder.store(builder.or_(builder.load(wrong), found), wrong)
        return builder.icmp_unsigned("==", builder.bitcast(builder.load(wrong), I16), I16(0))

    index = types.int64
    return types.boolean(block, index, index, types.boolean, block, index), generate


@jit
def multiply_blocks(count, a, b, rows, columns, add, block, out, step):
    """OUT = the sum of `count` products of blocks, or OUT + the sum if `add`; whether all of it is finite.

    Shapes: out (rows, columns), `block` is room for one.
    Layout: rows of out are `step` apart.
    Aliasing: none.
    """
    outlined()
    _sum_blocks(count, a, b, False, rows > LANES, columns > LANES, block, SIDE)
    return _put_rows(block, rows, columns, add, out, step)


@jit
def split_left(a, step, first, last, columns, apart, out):
    """Rows first..last of 32 columns of a left factor into parts.

    Shapes: a (rows, 32), of which `columns` count.
    Layout: rows of a are `step` apart, blocks of 32 rows in `out` are `apart`.
    Aliasing: none.
    """
    outlined()
    for r in range(first, last):
        p, place = at(a, r * step), at(out, r // SIDE * apart + r % SIDE * LANES)
        _split_pair(p, columns, at(p, LANES), columns - LANES, place)


@routine
def split_rows(a, step, first, last, columns, apart, p):
    """`split_left` for other routines."""
    split_left(a, step, first, last, columns, apart, p)


@jit
def split_right(b, step, rows, columns, out):
    """A block of a right factor into parts, zeros beyond its rows.

    Shapes: b (rows, columns).
    Layout: rows of b are `step` apart.
    Aliasing: none.
    """
    outlined()
    for v in range(0, min(columns, SIDE), LANES):
        for i in range(LANES):
            low, n_low = at(b, i * step + v), columns - v if i < rows else 0
            high, n_high = at(low, LANES * step), columns - v if i + LANES < rows else 0
            _split_pair(low, n_low, high, n_high, at(out, (v + i) * LANES))


@routine
def split_panel(b, width, depth, p):
    """A panel of a right factor into parts.

    Shapes: b (depth, width).
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    for k in range(0, depth, SIDE):
        split_right(at(b, k * width), width, depth - k, width, at(p, k // SIDE * BLOCK_PARTS))


@routine
def multiply_parts(job, thin, scale, p, x, a, row, step, chunk, jump, rows, b, width, columns, depth, s, c, spare):
    """C = S + scale A B for one panel of B and of C, of which `columns` count: `matmul.multiply` with both factors in
    parts, A in one if `thin`.

    Shapes: A (rows, depth), B (depth, 32), S (32,), C (rows, 32), of which whole tiles of 16 rows are written; p and x
    are the parts of A and of B, `spare` is room for a block and a panel.
    Layout: A by strides as for `microkernel.tile`, or, if `thin`, in its part alone; parts by rows of blocks; all else
    contiguous.
    Aliasing: none.
    """
    outlined()
    count, size = blocks(depth, SIDE), PART if thin else BLOCK_PARTS
    for i in range(0, rows, SIDE):
        high, a_parts, out = min(SIDE, rows - i), at(p, i // SIDE * count * size), at(c, i * width)
        _sum_blocks(count, a_parts, x, thin != 0, high > LANES, columns > LANES, out, width)
        if not _finish(out, width, high, columns, scale, s):
            if thin:
                numbers = at(spare, (SIDE + ROWS) * SIDE)
                for k in range(count * SIDE):
                    _join_bytes(at(a_parts, k * LANES), scale, at(numbers, k * SIDE))
                call(job.multiply, (numbers, SIDE, 1, SIDE, SIDE * SIDE, high, b, width, depth, s, spare))
            else:
                call(job.multiply, (at(a, i * row), row, step, chunk, jump, high, b, width, depth, s, spare))
            _replace(out, spare, high * width)


@intrinsic
def _replace(typingctx, c, other, n):
    """Take the other number wherever one of C is infinite or NaN."""

    def generate(context, builder, signature, args):
        c, other, n = args
        exponent = ir.Constant(_BITS, [0x7F800000] * LANES)
        with cgutils.for_range(builder, builder.sdiv(n, I64(LANES))) as loop:
            start = builder.mul(loop.index, I64(LANES))
            place = _vector(builder, builder.gep(c, [start]))
            line = builder.load(place, align=4)
            wrong = builder.icmp_unsigned("==", builder.and_(builder.bitcast(line, _BITS), exponent), exponent)
            new = builder.load(_vector(builder, builder.gep(other, [start])), align=4)
            builder.store(builder.select(wrong, new, line), place, align=4)
        return context.get_dummy_value()

    return types.none(c, other, types.int64), generate
