# What happens to a block while it is still in the first-level cache: bias, activation and dropout on the way up,
# their derivatives on the way down, the optimiser on a weight gradient. All loops run over contiguous numbers.


cdef void activate_run(int code, real alpha, real *y, long n) noexcept nogil:
    """Shapes: y (n,), pre-activations in, activations out; every activation but softmax. Layout: contiguous.
    Aliasing: in place."""
    cdef long i
    if code == RELU:
        for i in range(n):
            y[i] = 0 if y[i] < 0 else y[i]
    elif code == LEAKY_RELU:
        for i in range(n):
            y[i] = y[i] if y[i] > 0 else alpha * y[i]
    elif code == ELU:
        for i in range(n):
            y[i] = y[i] if y[i] > 0 else alpha * (exp_(y[i]) - 1)
    elif code == GELU:
        for i in range(n):
            y[i] = y[i] * normal_cdf(y[i])
    elif code == SILU:
        for i in range(n):
            y[i] = y[i] * sigmoid(y[i])
    elif code == TANH:
        for i in range(n):
            y[i] = tanh_(y[i])
    elif code == SIGMOID:
        for i in range(n):
            y[i] = sigmoid(y[i])
    elif code == SOFTPLUS:
        for i in range(n):
            y[i] = softplus(y[i])
    elif code == EXPONENTIAL:
        for i in range(n):
            y[i] = exp_(y[i])


cdef void backprop_run(int code, real alpha, const real *s, real *d, real kept, long n) noexcept nogil:
    """Shapes: s, d (n,): gradient by the activation in, by the pre-activation out; every activation but softmax.
    s holds the pre-activations where needs_z, otherwise the activations times 1 / kept (zero where dropped).
    Layout: contiguous. Aliasing: d in place, s apart."""
    cdef long i
    cdef real y
    if code == RELU:
        for i in range(n):
            d[i] = d[i] if s[i] > 0 else 0
    elif code == LEAKY_RELU:
        for i in range(n):
            d[i] = d[i] if s[i] > 0 else alpha * d[i]
    elif code == ELU:
        for i in range(n):
            d[i] = d[i] if s[i] > 0 else d[i] * (s[i] * kept + alpha)
    elif code == GELU:
        for i in range(n):
            d[i] = d[i] * (normal_cdf(s[i]) + s[i] * normal_pdf(s[i]))
    elif code == SILU:
        for i in range(n):
            y = sigmoid(s[i])
            d[i] = d[i] * (y + s[i] * y * (1 - y))
    elif code == TANH:
        for i in range(n):
            y = s[i] * kept
            d[i] = d[i] * (1 - y * y)
    elif code == SIGMOID:
        for i in range(n):
            y = s[i] * kept
            d[i] = d[i] * (y * (1 - y))
    elif code == SOFTPLUS:
        for i in range(n):
            d[i] = d[i] * sigmoid(s[i])
    elif code == EXPONENTIAL:
        for i in range(n):
            d[i] = d[i] * (s[i] * kept)


cdef void drop_rows(const Op *op, long j, long r0, long r1, real *y) noexcept nogil:
    """Shapes: y (r1 - r0, P), rows r0..r1 of panel j of an operation's output, or of the gradient by it.
    Kept elements are scaled, dropped ones become zero. Layout: contiguous. Aliasing: in place."""
    cdef long b, c
    cdef uint32_t first = op.key[0], second = op.key[1], limit = op.limit, element
    cdef real scale = op.scale
    for b in range(r0, r1):
        element = <uint32_t> (b * op.n_out + j * P)
        for c in range(P):
            y[c] = y[c] * scale if dropout_hash(element + <uint32_t> c, first, second) >= limit else 0
        y += P


cdef void finish_forward(Net *net, Op *op, long j, long r0, long r1, bint training) noexcept nogil:
    """Rows r0..r1 of panel j of op.y: bias, activation and dropout, or, for softmax, the bias alone.
    Layout: panels of op.ld rows. Aliasing: in place."""
    cdef real *y = op.y + (j * op.ld + r0) * P
    cdef const real *bias = net.w + op.b + j * P
    cdef long b, c
    if op.code == DENSE and op.flat_b >= 0:
        for b in range(r1 - r0):
            for c in range(P):
                y[b * P + c] += bias[c]
    if op.z != NULL:
        memcpy(op.z + (j * op.ld + r0) * P, y, (r1 - r0) * P * sizeof(real))
    if op.activation == SOFTMAX:
        return
    activate_run(op.activation, op.alpha, y, (r1 - r0) * P)
    if training and op.drops:
        drop_rows(op, j, r0, r1, y)
    if training and op.noise != 0:
        add_noise(op, j, r0, r1, y)
    if training and op.spread != 0:
        multiply_noise(op, j, r0, r1, y)
    if op.feeds:
        split_inputs(op + 1, op.y, P, op.ld * P, j, j + 1, r0, r1, training, 0)


cdef void finish_backward(Op *op, long j, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of panel j of op.dz: from the gradient by the output to that by the pre-activation, for every
    activation but softmax; then its transpose where somebody needs it.
    Layout: panels of op.ld rows. Aliasing: in place."""
    cdef long at = (j * op.ld + r0) * P
    if op.drops:
        drop_rows(op, j, r0, r1, op.dz + at)
    if op.spread != 0:
        multiply_noise(op, j, r0, r1, op.dz + at)
    if op.slope_l1 != 0 or op.slope_l2 != 0:
        add_slope(op.y + at, op.slope_l1, op.slope_l2, op.dz + at, (r1 - r0) * P)
    backprop_run(op.activation, op.alpha, (op.z if op.z != NULL else op.y) + at, op.dz + at,
                 op.kept if op.drops else 1, (r1 - r0) * P)
    if op.dzt != NULL:
        transpose_rows(op.dz, op.ld, op.n_out, j, r0, r1, op.dzt)
    if op.by_blocks:
        split_gradients(op, j, r0, r1)


cdef void softmax_forward(Op *op, long r0, long r1, bint training) noexcept nogil:
    """Rows r0..r1 of op.y: softmax over the whole row, then dropout. Layout: panels of op.ld rows. Aliasing: in place."""
    cdef long b, j, c, n = op.n_out
    cdef real top, total
    cdef real *y
    for b in range(r0, r1):
        top = op.y[b * P]
        for j in range(panels(n)):
            y = op.y + (j * op.ld + b) * P
            for c in range(smaller(P, n - j * P)):
                top = y[c] if y[c] > top or y[c] != y[c] else top
        total = 0
        for j in range(panels(n)):
            y = op.y + (j * op.ld + b) * P
            for c in range(P):
                y[c] = exp_(y[c] - top)
            for c in range(smaller(P, n - j * P)):
                total += y[c]
        for j in range(panels(n)):
            y = op.y + (j * op.ld + b) * P
            for c in range(P):
                y[c] = y[c] / total
            if op.z != NULL:
                memcpy(op.z + (j * op.ld + b) * P, y, P * sizeof(real))
            if training and op.drops:
                drop_rows(op, j, b, b + 1, y)
    if op.feeds:
        split_inputs(op + 1, op.y, P, op.ld * P, 0, panels(n), r0, r1, training, 0)


cdef void softmax_backward(Op *op, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of op.dz: from the gradient by the output to that by the pre-activation, then its transpose.
    r0 is a multiple of LANES.
    Layout: panels of op.ld rows. Aliasing: in place."""
    cdef long b, j, c, n = op.n_out
    cdef real dot
    cdef real *d
    cdef const real *source = op.z if op.z != NULL else op.y
    cdef const real *y
    for b in range(r0, r1):
        dot = 0
        for j in range(panels(n)):
            d = op.dz + (j * op.ld + b) * P
            y = source + (j * op.ld + b) * P
            if op.drops:
                drop_rows(op, j, b, b + 1, d)
            if op.slope_l1 != 0 or op.slope_l2 != 0:
                add_slope(op.y + (j * op.ld + b) * P, op.slope_l1, op.slope_l2, d, P)
            for c in range(smaller(P, n - j * P)):
                dot += d[c] * y[c]
        for j in range(panels(n)):
            d = op.dz + (j * op.ld + b) * P
            y = source + (j * op.ld + b) * P
            for c in range(P):
                d[c] = y[c] * (d[c] - dot)
    for j in range(panels(n)):
        if op.dzt != NULL:
            transpose_rows(op.dz, op.ld, n, j, r0, r1, op.dzt)
        if op.by_blocks:
            split_gradients(op, j, r0, r1)
