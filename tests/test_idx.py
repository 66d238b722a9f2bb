"""IDX files: what is written is read back, and nothing else than a complete file is believed."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn.datasets import read_idx, write_idx

CODES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
DTYPES = list(CODES.values())
SUFFIXES = ["", ".gz"]


def idx(shape, values, code=0x08):
    """The bytes of an IDX file, put together independently of `write_idx`."""
    return bytes([0, 0, code, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + values


def put(path, content):
    """Write `content`, compressed if the name says so."""
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)


@settings(deadline=None)
@given(array=arrays, suffix=st.sampled_from(SUFFIXES), order=st.sampled_from("<>"))
def test_round_trip(tmp_path_factory, array, suffix, order):
    path = tmp_path_factory.mktemp("idx") / f"array{suffix}"
    write_idx(path, array.astype(array.dtype.newbyteorder(order)))
    result = read_idx(path)
    assert result.dtype == array.dtype and result.dtype.isnative
    assert result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(result, array)
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # no temporary file is left


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("code", CODES)
def test_reads_big_endian_values(tmp_path, code, suffix):
    dtype = np.dtype(CODES[code])
    expected = np.array([[1, 2, 3], [4, 5, 100]], dtype)
    values = struct.pack(f">6{dict(u1='B', i1='b', i2='h', i4='i', f4='f', f8='d')[CODES[code]]}", 1, 2, 3, 4, 5, 100)
    result = read_idx(put(tmp_path / f"a{suffix}", idx((2, 3), values, code)))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


def test_writes_the_published_layout(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, -2]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 fffe")


def test_compressed_content_without_the_suffix(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(idx((2,), b"\x07\x08")))
    assert read_idx(str(path)).tolist() == [7, 8]


HUGE = 2**32 - 1
BROKEN = {
    "empty": (b"", "at least 4 bytes, found 0"),
    "magic cut": (b"\0\0\x08", "at least 4 bytes, found 3"),
    "not IDX": (b"\x89PNG\r\n\x1a\n", "found bytes 89 50 4e"),
    "unknown dtype": (idx((1,), b"\1", 0x0A), "found bytes 00 00 0a"),
    "no axes": (idx((), b"\1"), "1 to 32 axes, found 0"),
    "255 axes": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\1", "1 to 32 axes, found 255"),
    "sizes cut": (b"\0\0\x08\x03" + b"\0\0\0\1", "expected 12 bytes of header for 3 axes, found 4"),
    "values cut": (idx((2, 3), b"\1" * 5), r"expected 6 bytes of values \(shape \(2, 3\), uint8\), found only 5"),
    "values cut, wide": (idx((2,), b"\1" * 15, 0x0E), "expected 16 bytes of values .* found only 15"),
    "trailing": (idx((2, 3), b"\1" * 7), "expected 6 bytes of values .* found more"),
    "trailing after none": (idx((0, 28, 28), b"\1"), "expected 0 bytes of values .* found more"),
    "petabytes": (idx((HUGE, 1 << 20), b"\1" * 9), rf"expected {HUGE << 20} bytes of values .* found only 9"),
    "beyond memory": (idx((HUGE, HUGE, HUGE), b"\1"), "fits in memory"),
    "beyond memory, empty": (idx((0, HUGE, HUGE, HUGE), b""), "fits in memory"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named_and_explained(tmp_path, case, suffix):
    content, message = BROKEN[case]
    path = put(tmp_path / f"broken{suffix}", content)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-9], id="cut in the values"),
        pytest.param(lambda content: content[:-4], id="cut in the trailer"),
        pytest.param(lambda content: content[:12], id="cut at the start"),
        pytest.param(lambda content: flip(content, -8), id="wrong CRC"),
        pytest.param(lambda content: flip(content, -1), id="wrong length"),
        pytest.param(lambda content: content + b"junk", id="junk behind"),
        pytest.param(lambda content: flip(content, 2), id="unknown method"),
        pytest.param(lambda content: content[:10] + b"\xff" * 9, id="no deflate stream"),
        pytest.param(lambda content: b"plain text", id="not gzip"),
        pytest.param(lambda content: b"", id="empty"),
    ],
)
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "a.gz"
    values = np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    path.write_bytes(damage(gzip.compress(idx((1000,), values))))
    with pytest.raises(ValueError, match=r"expected a .*gzip file, found") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "shape, values, suffix",
    [
        pytest.param((10,), 64 << 20, ".gz", id="gzip bomb behind a small header"),
        pytest.param((10,), 16 << 20, "", id="long file behind a small header"),
        pytest.param((HUGE, 1000), 100, "", id="header of terabytes"),
        pytest.param((HUGE, 1000), 100, ".gz", id="header of terabytes, compressed"),
    ],
)
def test_memory_does_not_follow_a_lying_header(tmp_path, shape, values, suffix):
    path = put(tmp_path / f"a{suffix}", idx(shape, bytes(values)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="bytes of values"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@settings(deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_mutated_files_give_an_array_or_a_plain_error(tmp_path_factory, data, compressed):
    content = idx((3, 2, 2), bytes(range(24)), 0x0B)
    content = bytearray(gzip.compress(content) if compressed else content)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(start + 4, len(content))))
        content[start:stop] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.mktemp("idx") / "mutated"
    path.write_bytes(content)
    try:
        array = read_idx(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert array.dtype.str[1:] in DTYPES
        if not compressed:
            assert array.nbytes == len(content) - 4 - 4 * array.ndim


@pytest.mark.parametrize(
    "array", [np.zeros(3, np.int64), np.zeros(3, bool), np.zeros(3, np.uint16), np.array(["a"]), np.uint8(1)]
)
def test_what_the_format_cannot_hold(tmp_path, array):
    with pytest.raises(ValueError, match="expected"):
        write_idx(tmp_path / "a", array)
    assert not any(tmp_path.iterdir())


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_idx(path, np.arange(3, dtype=np.uint8))

    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_idx(path, np.zeros(9, np.uint8))
    assert read_idx(path).tolist() == [0, 1, 2]
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_same_array_same_bytes(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(100, dtype=np.uint8))
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "b.gz").read_bytes()
    assert content[3] == 0 and content[4:8] == bytes(4)  # neither name nor time in the header


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")
