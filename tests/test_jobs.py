"""How threads share out the jobs of a product: jobs.h by itself, in a program of its own, and its twin in Numba."""

import importlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.backends import AVAILABLE

HEADERS = Path(__file__).parents[1] / "kernels" / "cython_backend"
# Products of three jobs, where two of five threads have no share, for longer than a count of 15 bits; then others.
# Threads run on from product to product, and meet seldom. What they do is counted. Before, one does it all by itself.
PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include "jobs.h"

enum { N = 5, FEW = 40000, ALL = FEW + 5000, TOGETHER = 1000, MOST = 60 };
static share_t shares[N];
static unsigned char done[ALL][MOST];
static pthread_barrier_t barrier;

static long jobs_of(long product) { return product < FEW ? 3 : 1 + product % MOST; }

/* One thread takes all jobs of a product that the others are late for, and they find none. */
static long missed_by_others(void) {
    static share_t late[N];
    long low, high, taken = 0;
    next_phase(late, 2);
    while (take_jobs(late, MOST, 7, 2, 2, N, &low, &high)) taken += high - low;
    for (long id = 0; id < N; id++) {
        if (id != 2) next_phase(late, id);
        while (take_jobs(late, MOST, 7, 2, id, N, &low, &high)) taken += MOST;
    }
    return taken - MOST;
}

static void *work(void *id) {
    for (long product = 0; product < ALL; product++) {
        long low, high;
        if (product % TOGETHER == 0) pthread_barrier_wait(&barrier);
        next_phase(shares, (long)id);
        while (take_jobs(shares, jobs_of(product), 1 + product % 7, 1 + product % 3, (long)id, N, &low, &high))
            for (long job = low; job < high; job++) __atomic_add_fetch(&done[product][job], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[N];
    long wrong = missed_by_others();
    pthread_barrier_init(&barrier, NULL, N);
    for (long id = 0; id < N; id++) pthread_create(&threads[id], NULL, work, (void *)id);
    for (long id = 0; id < N; id++) pthread_join(threads[id], NULL);
    for (long product = 0; product < ALL; product++)
        for (long job = 0; job < MOST; job++) wrong += done[product][job] != (job < jobs_of(product));
    printf("%ld wrong\n", wrong);
}
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_every_job_is_done_once(tmp_path):
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-O2", "-pthread", f"-I{HEADERS}", source, "-o", program], check=True)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "0 wrong\n"


@pytest.mark.skipif("numba" not in AVAILABLE, reason="there is no numba")
def test_one_thread_takes_all_that_others_are_late_for():
    import numba

    name = AVAILABLE["numba"].__name__
    threads, intrinsics, batch, layout = (
        importlib.import_module(f"{name}.{part}") for part in ("threads", "intrinsics", "batch", "layout")
    )
    begin_jobs, take_jobs, pointer, INDEX = threads.begin_jobs, threads.take_jobs, intrinsics.pointer, batch.INDEX

    @numba.njit
    def take_all(address, thread, jobs, done):
        p, team = pointer(INDEX, address), (thread, 5)
        begin_jobs(p, team)
        first, last = take_jobs(p, jobs, 7, 2, team)
        while first < last:
            done[first:last] += 1
            first, last = take_jobs(p, jobs, 7, 2, team)

    shares = np.zeros((5, layout.SHARE), np.int64)
    for thread in (2, 0, 1, 3, 4):
        done = np.zeros(60, np.int64)
        take_all(shares.ctypes.data, thread, 60, done)
        assert (done == (thread == 2)).all()
