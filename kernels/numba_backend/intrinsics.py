"""What Numba has no words for: typed pointers, views without an owner, bit casts, atomics, the CPU's state.

Compiled code here passes addresses as int64 and turns them into pointers with `pointer(like, address)`, `like` being
any scalar of the element type. `view` makes an array of it that nobody counts references of: counting is an atomic
operation on one shared cache line, and all threads look at the same arrays.
"""

import ctypes
import sys

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I32 = ir.IntType(32)
I64 = ir.IntType(64)
TRIPLE = llvm.get_process_triple()
X86 = TRIPLE.startswith(("x86_64", "amd64"))
ARM = TRIPLE.startswith(("aarch64", "arm64"))

# A name of our own for "let another thread run": cached code refers to it by name, each process tells its address.
_yield = ctypes.windll.kernel32.SwitchToThread if sys.platform == "win32" else ctypes.CDLL(None).sched_yield
llvm.add_symbol("fastnn_yield", ctypes.cast(_yield, ctypes.c_void_p).value)


def _call(builder, name, returns, *args):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(returns, [a.type for a in args]), name)
    return builder.call(function, args)


def _call_address(context, builder, returns, signature, args):
    # As Numba's own code calls, with the types that `cache.Routine` compiles for.
    given = signature.args[1]
    kinds = [types.int64 if isinstance(kind, types.Integer) else kind for kind in given]
    values = [
        context.cast(builder, builder.extract_value(args[1], i), *pair)
        for i, pair in enumerate(zip(given, kinds, strict=True))
    ]
    function = context.call_conv.get_function_type(returns, kinds).as_pointer()
    return context.call_conv.call_function(builder, builder.inttoptr(args[0], function), returns, kinds, values)[1]


@intrinsic
def call(typingctx, address, args):
    """Call the routine at `address` with a tuple of arguments."""

    def generate(context, builder, signature, args):
        _call_address(context, builder, types.none, signature, args)
        return context.get_dummy_value()

    return types.none(types.int64, args), generate


@intrinsic
def value_of(typingctx, address, args):
    """Call the routine at `address`, which returns a float64."""

    def generate(context, builder, signature, args):
        return _call_address(context, builder, types.float64, signature, args)

    return types.float64(types.int64, args), generate


@intrinsic
def outlined(typingctx):
    """Keep the function that says this one function of machine code, and let it use the widest vectors.

    LLVM would copy it into each caller and optimise every copy anew. It would also use half of the widest vectors on
    CPUs that were slow with them once.
    """

    def generate(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # not among the names that `add` knows
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def pointer(typingctx, like, address):
    """The int64 `address` as a pointer to elements of the type of `like`."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[1], context.get_value_type(signature.return_type))

    return types.CPointer(like)(like, types.int64), generate


@intrinsic
def at(typingctx, p, i):
    """The pointer `i` elements after `p`."""

    def generate(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return p(p, types.int64), generate


@intrinsic
def view(typingctx, p, n):
    """The `n` elements at `p` as an array that owns nothing."""
    array = types.Array(p.dtype, 1, "C")

    def generate(context, builder, signature, args):
        result = context.make_array(array)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(p.dtype)))
        context.populate_array(
            result, data=args[0], shape=cgutils.pack_array(builder, [args[1]]),
            strides=cgutils.pack_array(builder, [size]), itemsize=size, meminfo=None,
        )  # fmt: skip
        return result._getvalue()

    return array(p, types.int64), generate


@intrinsic
def cast(typingctx, like, value):
    """`value` converted to the type of `like`: keeps float64 constants out of float32 arithmetic."""

    def generate(context, builder, signature, args):
        return context.cast(builder, args[1], value, like)

    return like(like, value), generate


def fetch_line(builder, p):
    """What `prefetch` does, for other intrinsics."""
    _call(builder, "llvm.prefetch.p0i8", ir.VoidType(), builder.bitcast(p, cgutils.voidptr_t), I32(0), I32(3), I32(1))


@intrinsic
def prefetch(typingctx, p):
    """Begin to fetch the cache line at `p`, which need not be one of ours."""

    def generate(context, builder, signature, args):
        fetch_line(builder, args[0])
        return context.get_dummy_value()

    return types.none(p), generate


@intrinsic
def select(typingctx, condition, a, b):
    """`a` where the condition holds, otherwise `b`. Both are there already: a branch would stop vector code."""

    def generate(context, builder, signature, args):
        return builder.select(*args)

    return a(types.boolean, a, a), generate


@intrinsic
def as_int32(typingctx, x):
    """The bits of a float32."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], I32)

    return types.int32(types.float32), generate


@intrinsic
def as_float32(typingctx, i):
    """The float32 with these bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def positive(typingctx, x):
    """Whether the sign bit is clear and some other bit set: x > 0, or a NaN; denormals count, flushed or not."""

    def generate(context, builder, signature, args):
        bits = ir.IntType(x.bitwidth)
        return builder.icmp_signed(">", builder.bitcast(args[0], bits), bits(0))

    return types.boolean(x), generate


@intrinsic
def atomic_add(typingctx, p, value):
    """Add to the integer at `p`, as one step for all threads; what was there before."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "seq_cst")

    return types.int64(p, types.int64), generate


@intrinsic
def atomic_load(typingctx, p):
    """The integer at `p`, with all that was written before it."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(args[0], "seq_cst", 8)

    return types.int64(p), generate


@intrinsic
def atomic_store(typingctx, p, value):
    """Write the integer at `p`, after all that was written before."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[1], args[0], "seq_cst", 8)
        return context.get_dummy_value()

    return types.none(p, types.int64), generate


@intrinsic
def atomic_swap(typingctx, p, old, new):
    """Write the integer at `p` if it is `old`, as one step for all threads; whether it was."""

    def generate(context, builder, signature, args):
        return builder.extract_value(builder.cmpxchg(*args, "seq_cst"), 1)

    return types.boolean(p, types.int64, types.int64), generate


@intrinsic
def pause(typingctx):
    """Tell the core that this loop only waits."""

    def generate(context, builder, signature, args):
        if X86:
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        elif ARM:
            _call(builder, "llvm.aarch64.hint", ir.VoidType(), I32(1))
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def give_way(typingctx):
    """Let the operating system run another thread on this core."""

    def generate(context, builder, signature, args):
        _call(builder, "fastnn_yield", I32)
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def float_state(typingctx):
    """The core's floating-point control word; 0 where we do not know how to read it."""

    def generate(context, builder, signature, args):
        if X86:
            slot = cgutils.alloca_once(builder, I32)
            _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(slot, cgutils.voidptr_t))
            return builder.zext(builder.load(slot), I64)
        if ARM:
            return _call(builder, "llvm.aarch64.get.fpcr", I64)
        return I64(0)

    return types.int64(), generate


@intrinsic
def set_float_state(typingctx, word):
    """Write what `float_state` read."""

    def generate(context, builder, signature, args):
        if X86:
            slot = cgutils.alloca_once(builder, I32)
            builder.store(builder.trunc(args[0], I32), slot)
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(slot, cgutils.voidptr_t))
        elif ARM:
            _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), args[0])
        return context.get_dummy_value()

    return types.none(types.int64), generate


# The bits that flush denormals: FTZ and DAZ in x86's MXCSR, FZ in Arm's FPCR.
FLUSH = 0x8040 if X86 else 1 << 24 if ARM else 0
