"""When a worker leaves its processor: event.h by itself, on a machine that is made up."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[1] / "kernels" / "cython_backend"
# The thread runs on processor 1 of those that it may use, the first of `processors`, and may be moved by the kernel
# alone; /proc/loadavg says so many threads are running, 0 meaning that it cannot be read.
PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int processors, threads, meddled, bound;
static cpu_set_t mask;

static int get(cpu_set_t *out) {
    if (bound == 1 && meddled) {
        CPU_ZERO(&mask);
        CPU_SET(0, &mask);
    }
    *out = mask;
    return 0;
}
static int set(const cpu_set_t *in) {
    bound++;
    mask = *in;
    return 0;
}
static int load(void) {
    int ends[2];
    char text[64];
    if (threads == 0 || pipe(ends)) return -1;
    snprintf(text, sizeof(text), "0.10 0.20 0.30 %d/200 4242\n", threads);
    if (write(ends[1], text, strlen(text)) < 0) return -1;
    close(ends[1]);
    return ends[0];
}
#define sched_getcpu() 1
#define sched_getaffinity(thread, size, set) get(set)
#define sched_setaffinity(thread, size, in) set(in)
#define open(...) load()
#include "event.h"

int main(int count, char **values) {
    event_t e = {0};
    processors = atoi(values[1]);
    threads = atoi(values[2]);
    e.processor = atoi(values[3]);
    meddled = atoi(values[4]);
    CPU_ZERO(&mask);
    for (int i = 0; i < processors; i++) CPU_SET(1 + i, &mask);
    int moved = step_aside(&e);
    printf("%d %d ", moved, bound);
    for (int i = 0; i < 3; i++) printf("%d", CPU_ISSET(i, &mask) != 0);
    return count != 5;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not shutil.which("cc") or not sys.platform.startswith("linux"):
        pytest.skip("there is no C compiler, or no affinity")
    folder = tmp_path_factory.mktemp("placement")
    (folder / "program.c").write_text(PROGRAM)
    subprocess.run(
        ["cc", "-O1", "-pthread", f"-I{HEADERS}", folder / "program.c", "-o", folder / "program"], check=True
    )
    return folder / "program"


@pytest.mark.parametrize(
    ("processors", "threads", "caller", "meddled", "expected"),
    [
        (2, 2, 1, 0, "1 2 011"),  # moved away, and bound to neither afterwards
        (2, 1, 1, 0, "1 2 011"),
        (2, 2, 2, 0, "0 0 011"),  # the caller is elsewhere
        (2, 3, 1, 0, "0 0 011"),  # nobody is idle
        (2, 0, 1, 0, "0 0 011"),  # it is not known whether anybody is
        (1, 1, 1, 0, "0 0 010"),  # there is no other processor
        (2, 2, 1, 1, "1 1 100"),  # somebody has bound it meanwhile
    ],
)
def test_a_worker_leaves_the_callers_processor_if_another_is_idle(
    program, processors, threads, caller, meddled, expected
):
    arguments = [program, *map(str, (processors, threads, caller, meddled))]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip() == expected
