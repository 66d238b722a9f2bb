"""The thread pool that all engines share, and what this machine's processor can run."""

from libc.stdint cimport uintptr_t

cdef extern from *:
    """
    #define POOL_IMPLEMENTATION
    #include "pool.h"

    #if defined(__x86_64__)
    static int runs_v2(void) { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
    static int runs_v3(void) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    }
    static int runs_v4(void) {
        return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd");
    }
    #if defined(__linux__)
    #include <cpuid.h>
    #define REQUEST_PERMISSION 0x1023 /* ARCH_REQ_XCOMP_PERM, of arch_prctl */
    #define TILE_DATA 18
    /* The matrix unit is there, and the kernel lets this process, its threads and its children use it. */
    static int runs_amx(void) {
        unsigned a, b, c, d;
        const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
        return runs_v4() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amx_bf16) && (d & amx_tile) &&
               syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    }
    #else
    static int runs_amx(void) { return 0; }
    #endif
    #else
    static int runs_v2(void) { return 0; }
    static int runs_v3(void) { return 0; }
    static int runs_v4(void) { return 0; }
    static int runs_amx(void) { return 0; }
    #endif
    #if defined(__VERSION__)
    #define COMPILER __VERSION__
    #else
    #define COMPILER "unknown"
    #endif
    """
    void pool_run()
    void pool_rouse(long n) nogil
    int runs_v2()
    int runs_v3()
    int runs_v4()
    int runs_amx()
    const char *COMPILER


def address():
    """Address of pool_run, for the engines."""
    return <uintptr_t> &pool_run


def rouse(long threads):
    """Wake the workers of so many threads for a call that is to come."""
    with nogil:
        pool_rouse(threads)


def instruction_sets(bint ask=True):
    """Names of the engine variants that this processor can run, best first; without `ask`, those that need nobody's
    permission. The kernel's, to use the matrix unit, holds for all of the process and enlarges the frames of signals.
    """
    known = (("amx", ask and runs_amx()), ("v4", runs_v4()), ("v3", runs_v3()), ("v2", runs_v2()), ("generic", True))
    return [name for name, runs in known if runs]


def compiler():
    """Version of the C compiler that built this module."""
    return COMPILER.decode()
