"""How many threads to use."""

import functools
import os
from pathlib import Path


@functools.cache  # reading it takes longer than a step of a small network
def _cgroup_cpus(root="/sys/fs/cgroup"):
    """CPUs that the control group's quota allows, or None where there is no quota."""
    try:
        quota, period = Path(root, "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = Path(root, "cpu/cpu.cfs_quota_us").read_text().strip()
            period = Path(root, "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return max(1, int(quota) // int(period))


def default_threads():
    """Threads used where nobody asked for a number.

    Returns
    -------
    int
        ``FASTNN_NUM_THREADS`` where it is set, otherwise the CPUs that this process may run on: its affinity, capped
        by the control group's quota.

    Raises
    ------
    ValueError
        If ``FASTNN_NUM_THREADS`` is not a positive integer.
    """
    wish = os.environ.get("FASTNN_NUM_THREADS")
    if wish:
        if not wish.isdecimal() or int(wish) < 1:
            raise ValueError(f"FASTNN_NUM_THREADS must be a positive integer, got {wish!r}")
        return min(int(wish), 1024)  # as many as the argument may ask for; C's integers end somewhere
    try:
        cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # another system, or a sandbox that forbids it
        cpus = os.cpu_count() or 1
    return min(cpus, _cgroup_cpus() or cpus)
