"""IDX files, the format of MNIST: big-endian magic, one size an axis, then the values in C order."""

import gzip
import math
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

from ..files import write_atomic

__all__ = ["read_idx", "write_idx"]

_DTYPES = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(np.int16),
    0x0C: np.dtype(np.int32),
    0x0D: np.dtype(np.float32),
    0x0E: np.dtype(np.float64),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_MAX_NDIM = 32  # what every supported NumPy can hold; the format itself allows 255
_MAX_DIM = 2**32 - 1
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path):
    """Read an IDX file, plain or compressed with gzip.

    The header is never trusted: memory grows with the values that are really there, a megabyte at a time, and
    reading stops as soon as there are more of them than the header announces.

    Parameters
    ----------
    path : str or path-like
        The file. Whether it is compressed is seen from its first bytes; a name that ends in ``.gz`` must be.

    Returns
    -------
    ndarray
        Writable, C-contiguous, native byte order, of the shape and dtype in the header: uint8, int8, int16, int32,
        float32 or float64, with 1 to 32 axes.

    Raises
    ------
    ValueError
        If the file is not a complete and consistent IDX file. The message names the file, what was expected and
        what was found.
    OSError
        If the file cannot be opened or read.
    """
    path = Path(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            if path.suffix == ".gz":
                raise ValueError(f"{path}: expected a gzip file, found one that does not start as gzip does")
            return _read_stream(file, path)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                return _read_stream(stream, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: expected a complete gzip file, found a damaged one: {error}") from error


def _read_stream(stream, path):
    """Read header and values from a binary stream; `path` is for the messages only."""
    magic = _read_at_most(stream, 4)
    if len(magic) < 4:
        raise ValueError(f"{path}: expected an IDX header of at least 4 bytes, found {len(magic)}")
    if magic[0] or magic[1] or magic[2] not in _DTYPES:
        codes = ", ".join(f"{code:02x}" for code in _DTYPES)
        raise ValueError(
            f"{path}: expected an IDX file (bytes 00 00, then one of {codes}), found bytes {magic[:3].hex(' ')}"
        )
    dtype, ndim = _DTYPES[magic[2]], magic[3]
    if not 1 <= ndim <= _MAX_NDIM:
        raise ValueError(f"{path}: expected an IDX header with 1 to {_MAX_NDIM} axes, found {ndim}")
    sizes = _read_at_most(stream, 4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"{path}: expected {4 * ndim} bytes of header for {ndim} axes, found {len(sizes)} bytes")
    shape = struct.unpack(f">{ndim}I", sizes)
    # NumPy multiplies the sizes that are not zero, so a shape without values can still be too big for it.
    if math.prod(size for size in shape if size) * dtype.itemsize > sys.maxsize:
        raise ValueError(f"{path}: expected an array that fits in memory, found a header of shape {shape}")

    expected = math.prod(shape) * dtype.itemsize
    # One byte more than expected shows trailing bytes, and makes gzip reach its end and check its CRC.
    values = _read_at_most(stream, expected + 1)
    if len(values) != expected:
        found = f"only {len(values)} bytes" if len(values) < expected else "more bytes than that"
        raise ValueError(f"{path}: expected {expected} bytes of values (shape {shape}, {dtype}), found {found}")
    array = np.frombuffer(values, dtype=dtype).reshape(shape)
    return array.byteswap(inplace=True) if sys.byteorder == "little" and dtype.itemsize > 1 else array


def _read_at_most(stream, count):
    """Return up to `count` bytes, fewer only where the stream ends; never allocate more than it holds."""
    content = bytearray()
    while len(content) < count:
        chunk = stream.read(min(_CHUNK, count - len(content)))
        if not chunk:
            break
        content += chunk
    return content


def write_idx(path, array):
    """Write an array as an IDX file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file, replaced if it exists. A name that ends in ``.gz`` is compressed, and the same array then always
        gives the same bytes (with the same zlib).
    array : array_like
        1 to 32 axes of uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    ValueError
        If the format cannot hold the array's dtype or shape.
    OSError
        If the file cannot be written; an older file of that name is then still what it was.
    """
    path = Path(path)
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        allowed = ", ".join(map(str, _CODES))
        raise ValueError(f"{path}: expected an array of one of {allowed}, found {array.dtype}")
    if not 1 <= array.ndim <= _MAX_NDIM or max(array.shape) > _MAX_DIM:
        raise ValueError(f"{path}: expected 1 to {_MAX_NDIM} axes of up to {_MAX_DIM} each, found shape {array.shape}")

    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    content = header + array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=9, mtime=0)
    write_atomic(path, content)
