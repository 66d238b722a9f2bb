"""Arrays that kernels cannot read as they lie in memory."""

import numpy as np


def unaligned(values):
    """A copy that begins at an odd address."""
    result = np.frombuffer(bytearray(values.nbytes + 1), np.uint8)[1:].view(values.dtype).reshape(values.shape)
    result[...] = values
    assert not result.flags.aligned
    return result
