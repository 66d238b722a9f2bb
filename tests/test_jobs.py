"""How threads share out the jobs of a product: jobs.h by itself, in a program of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[1] / "kernels" / "cython_backend"
# Products of three jobs, where two of five threads have no share, for longer than a count of 15 bits; then others.
# Threads run on from product to product, and meet seldom. What they do is counted.
PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include "jobs.h"

enum { N = 5, FEW = 40000, ALL = FEW + 5000, TOGETHER = 1000, MOST = 60 };
static share_t shares[N];
static unsigned char done[ALL][MOST];
static pthread_barrier_t barrier;

static long jobs_of(long product) { return product < FEW ? 3 : 1 + product % MOST; }

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
    long wrong = 0;
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
