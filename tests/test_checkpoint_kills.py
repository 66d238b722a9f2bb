"""Model files in trouble: kills while they are written, disks that are full or read-only, every kind of damage."""

import json
import os
import stat
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastnn
from fastnn import files
from fastnn.callbacks import Callback

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 50)).astype("f4")
Y = RNG.integers(0, 5, 40)
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals, users and mounts are POSIX")
# Each case here runs some cases of a loop; all of them, with pytest -m slow.
CASES = pytest.mark.parametrize("cases", [1500, pytest.param(20_000, marks=pytest.mark.slow)])


def run(code, *arguments, check=True):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=300)


KILLS = """
import os, pathlib, random, signal, sys, time
import fastnn

path, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
models = [fastnn.MLP([50, 80, 5], seed=seed, backend="numpy") for seed in range(2)]
models[0].save(path)
random.seed(0)
found, partial = [0, 0], 0
for kill in range(count):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            for model in models:
                model.save(path)
            os.write(writer, b".")
    os.read(reader, 1)  # it is at it
    time.sleep(random.uniform(0.0, 0.004))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    loaded = fastnn.load(path, backend="numpy")
    index = int(loaded.seed)
    assert (loaded.params == models[index].params).all()
    found[index] += 1
    partial += bool(list(path.parent.glob(".*.tmp")))
    for leftover in path.parent.glob(".*.tmp"):
        leftover.unlink()
print(*found, partial)
"""


@POSIX
def test_three_hundred_kills_while_saving(tmp_path):
    """Always the one file or the other is there, whole; and some of the kills did come in the middle of a save."""
    a, b, partial = map(int, run(KILLS, tmp_path / "model", 300).stdout.split())
    assert a + b == 300 and a and b and partial > 10


@POSIX
def test_what_a_kill_leaves_is_removed_with_the_file(tmp_path):
    path = tmp_path / "model"
    files.write_atomic(path, b"whole")
    (tmp_path / ".model.0123.tmp").write_bytes(b"pa")
    (tmp_path / ".other.0123.tmp").write_bytes(b"not ours")
    files.remove(path)
    assert os.listdir(tmp_path) == [".other.0123.tmp"]
    files.remove(path)


SAVE = """
import os, sys
import fastnn
import safetensors.numpy  # while it may still be read
model = fastnn.load(sys.argv[1], backend="numpy")
{}
try:
    model.save(sys.argv[2])
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def mounted(tmp_path):
    """Mounts a file system of 64 KiB in a folder, if this user may."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", folder]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a file system takes more rights")
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def model_of(width):
    return fastnn.MLP([50, width, 5], seed=0, backend="numpy")


@POSIX
def test_a_full_disk(mounted, tmp_path):
    path = mounted / "model"
    model_of(20).save(path)
    before = path.read_bytes()
    model_of(400).save(tmp_path / "big")
    said = run(SAVE.format(""), tmp_path / "big", path).stdout
    assert said.startswith("OSError") and "could not be saved (No space left on device)" in said and str(path) in said
    assert "the file of that name is as it was" in said
    assert path.read_bytes() == before and os.listdir(mounted) == ["model"]


@POSIX
def test_a_read_only_file_system(mounted):
    path = mounted / "model"
    model_of(20).save(path)
    before = path.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    said = run(SAVE.format(""), path, path).stdout
    assert "could not be saved (Read-only file system)" in said and path.read_bytes() == before


@POSIX
def test_a_folder_that_is_read_only(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model"
    model_of(20).save(path)
    before = path.read_bytes()
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    folder.chmod(0o555)
    as_nobody = "os.seteuid(65534)" if os.geteuid() == 0 else ""  # root may write anywhere
    said = run(SAVE.format(as_nobody), path, path).stdout
    folder.chmod(0o755)
    assert said.startswith("PermissionError") and "could not be saved (Permission denied)" in said
    assert path.read_bytes() == before and os.listdir(folder) == ["model"]


# ------------------------------------------------------------------------------------------ damage


class State(Callback):
    """A state with arrays, so that the file has what a backup of a fit adds."""

    def get_state(self):
        return {"best": [np.arange(30.0), np.ones((4, 5), "f4")], "wait": 3}


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    """A backup of a fit, about 100 KB, as bytes."""
    folder = tmp_path_factory.mktemp("backup")
    model = fastnn.MLP([50, 150, 5], dropout=0.2, seed=1, backend="numpy")
    keep = fastnn.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    model.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[State(), keep])
    assert 90e3 < keep.path.stat().st_size < 120e3
    return keep.path.read_bytes()


def mutations(raw, count):
    """Yield (what was done, the bytes) so many times: truncations, flipped bits, lying lengths, noise."""
    rng = np.random.default_rng(0)
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    for i in range(count):
        changed = bytearray(raw)
        kind = ("data bit", "header bit", "cut", "longer", "length", "number", "noise", "swap")[i % 8]
        if kind == "data bit":
            changed[rng.integers(begin, len(raw))] ^= 1 << rng.integers(8)
        elif kind == "header bit":
            changed[rng.integers(0, begin)] ^= 1 << rng.integers(8)
        elif kind == "cut":
            # Often near an end of the header or of the file, where a reader would go wrong.
            near = rng.choice([0, 8, begin, len(raw)])
            at = int(rng.integers(0, len(raw))) if rng.random() < 0.5 else int(near + rng.integers(-9, 9))
            del changed[min(max(at, 0), len(raw) - 1) :]
        elif kind == "longer":
            changed += rng.bytes(int(rng.integers(1, 300)))
        elif kind == "length":
            lie = rng.choice([0, 1, length - 1, length + 1, len(raw), 2**31, 2**40, 2**63, int(rng.integers(0, 2**62))])
            changed[:8] = struct.pack("<Q", int(lie))
        elif kind == "number":
            # Another digit in one of the numbers of the header: shapes, offsets, versions, counters.
            digits = [k for k in range(8, begin) if 48 <= raw[k] <= 57]
            at = int(rng.choice(digits))
            changed[at] = 48 + (raw[at] - 48 + int(rng.integers(1, 10))) % 10
        elif kind == "noise":
            at, size = int(rng.integers(0, len(raw))), int(rng.integers(1, 200))
            changed[at : at + size] = rng.bytes(len(changed[at : at + size]))
        else:
            a, b = sorted(rng.integers(begin, len(raw) - 64, 2))
            changed[a : a + 32], changed[b : b + 32] = raw[b : b + 32], raw[a : a + 32]
        if bytes(changed) != raw:
            yield kind, bytes(changed)


def same(a, b):
    return (
        a.get_config() == b.get_config()
        and (a.params == b.params).all()
        and (a._network.state == b._network.state).all()
        and a.history.get_state() == b.history.get_state()
    )


@CASES
def test_damaged_files(backup, tmp_path, cases):
    """Each gives a ValueError that names the file, and takes no more memory than twice the file and a little."""
    path = tmp_path / "bad.safetensors"
    path.write_bytes(backup)
    good = fastnn.load(path, backend="numpy")
    seen, unnoticed, most = {}, [], 0
    for kind, content in mutations(backup, cases):
        path.write_bytes(content)
        tracemalloc.start()
        try:
            model = fastnn.load(path, backend="numpy")
        except ValueError as error:
            assert "bad.safetensors" in str(error)
        else:
            # White space and the spelling of JSON can change without changing what is said.
            assert kind in ("header bit", "noise") and same(model, good)
            unnoticed.append(kind)
        finally:
            most = max(most, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        seen[kind] = seen.get(kind, 0) + 1
    assert len(seen) == 8 and min(seen.values()) > cases // 10
    assert len(unnoticed) < cases / 100
    assert most < 2 * len(backup) + 100_000


def test_every_kind_of_lie_about_a_size(backup, tmp_path):
    """The description has the right hash and lies about every size in turn: nothing large is allocated."""
    from safetensors.numpy import load as load_tensors

    from fastnn import checkpoint

    path = tmp_path / "bad"
    (length,) = struct.unpack("<Q", backup[:8])
    header = json.loads(backup[8 : 8 + length])
    tensors = sorted(load_tensors(backup).items())
    config = json.loads(header["__metadata__"]["config"])

    def numbers(value, place=()):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in items:
            if type(child) is int and {"shape", "input_shape", "units"} & {*place, key}:
                yield (*place, key)
            yield from numbers(child, (*place, key))

    places = list(numbers(config))
    assert len(places) == 7
    for place in places:
        parent = json.loads(json.dumps(config))
        root = parent
        for key in place[:-1]:
            parent = parent[key]
        for lie in (10**5, 2**40, 10**30):
            parent[place[-1]] = lie
            text = json.dumps(root)
            metadata = {**header["__metadata__"], "config": text, "sha256": checkpoint._digest(text, tensors)}
            encoded = json.dumps({**header, "__metadata__": metadata}).encode()
            path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + backup[8 + length :])
            tracemalloc.start()
            with pytest.raises(ValueError, match="bad"):
                fastnn.load(path, backend="numpy")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 2 * len(backup) + 100_000, place
