# The three products of a large dense layer on the matrix unit, block by block: P x P of the result at a time, over the
# whole summed index.
#
#   forward          Z   = X W        one panel of W in parts, all blocks of rows of X
#   input gradient   dX' = W dZ'      one row of W's blocks in parts, all blocks of rows of the batch
#   weight gradient  dW  = X' dZ      one block after the other, for weight_gradient in gemm.pxi
#
# Threads share blocks out; a block is computed in the same way whoever does it. One that is not finite is computed
# again in float32, in which infinities are infinities.


cdef void thin_product(Net *net, const Op *op, long p, long rows, long j, long id, real *c) noexcept nogil:
    """Block (p, j) of Z = X W in float32, for X of bytes. Shapes: c (P, P), of which `rows` count. Layout: panels.
    Aliasing: none."""
    cdef real x[P * P]
    cdef long k
    for k in range(panels(op.n_in)):
        join_bytes(x_block(op, p, k, id), net.input_scale, x)
        tiles_natural(rows, 2, smaller(P, op.n_in - k * P), x, P, 0, net.w + op.w + (j * op.n_in + k * P) * P, c, k > 0)


cdef void weight_block(Net *net, const Op *op, const real *x, const part_t *right, long q, long j, long m, long id,
                       real *c) noexcept nogil:
    """Block (q, j) of dW = X' dZ. Shapes: x (m, n_in), unless it is bytes, c (P, P). Layout: panels; right is panel j of
    dZ in parts. Aliasing: none."""
    cdef real block[P * P]
    cdef const real *a
    cdef long p, rows = smaller(P, op.n_in - q * P), wide = smaller(P, op.n_out - j * P)
    if multiply_blocks(rows, wide, op.thin, panels(m), xt_block(op, q, 0, id), right,
                       net.input_scale if op.thin else 1, c, P, False):
        return
    for p in range(panels(m)):
        a = x + (q * op.ld + p * P) * P
        if op.thin:
            join_bytes(x_block(op, p, q, id), net.input_scale, block)
            a = block
        tiles_transposed(rows, vectors(wide), smaller(P, m - p * P), a, op.dz + (j * op.ld + p * P) * P, c, p > 0)


cdef void forward_panel(Net *net, Op *op, const real *x, long step, long jump, long j, long p0, long p1, long m,
                        bint training, long id) noexcept nogil:
    """Row blocks p0..p1 of panel j of y = X W, and what follows the product.
    Shapes, layout, aliasing: as for forward_product; op.x_parts is x."""
    cdef part_t *right = net.w_parts + id * net.w_parts_size
    cdef const real *w = net.w + op.w + j * op.n_in * P
    cdef real *y = op.y + j * op.ld * P
    cdef long k, p, end, deep = panels(op.n_in), wide = smaller(P, op.n_out - j * P)
    cdef real scale = net.input_scale if op.thin else 1
    for k in range(deep):
        split_right(w + k * P * P, P, smaller(P, op.n_in - k * P), wide, right + k * PARTS_BLOCK)
    for p in range(p0, p1):
        end = smaller(p * P + P, m)
        if not multiply_blocks(end - p * P, wide, op.thin, deep, x_block(op, p, 0, id), right, scale,
                               y + p * P * P, P, False):
            if op.thin:
                thin_product(net, op, p, end - p * P, j, id, y + p * P * P)
            else:
                rows_product(x, step, jump, p * P, end, w, op.n_in, vectors(wide), y)
        finish_forward(net, op, j, p * P, end, training)
        if training and net.loss_in_columns and op == &net.ops[net.n_ops - 1]:
            loss_panel(net, op, j, p * P, end, m, id)


cdef void forward_blocks(Net *net, Op *op, const real *x, long step, long jump, long m, bint training, long id,
                         long n) noexcept nogil:
    """forward_product by blocks. Shapes, layout, aliasing: as there."""
    cdef long across = blocks(m, P), low, high
    next_phase(net.shares, id)
    while take_jobs(net.shares, panels(op.n_out) * across, across, blocks(across, 2), id, n, &low, &high):
        forward_panel(net, op, x, step, jump, low // across, low % across, low % across + high - low, m, training, id)


cdef void input_block(Net *net, const Op *op, long q, long p, long m, real *c) noexcept nogil:
    """Block (q, p) of dX' = W dZ' in float32. Shapes: c (P, P). Layout: panels. Aliasing: none."""
    cdef real turned[P * P]
    cdef long k
    for k in range(panels(op.n_out)):
        transpose_part(op.dz + (k * op.ld + p * P) * P, P, smaller(P, m - p * P), turned)
        tiles_natural(smaller(P, op.n_in - q * P), 2, smaller(P, op.n_out - k * P),
                      net.w + op.w + (k * op.n_in + q * P) * P, P, 0, turned, c, k > 0)


cdef void input_gradient_blocks(Net *net, Op *op, Op *below, long m, long id, long n) noexcept nogil:
    """input_gradient by blocks. Shapes, layout, aliasing: as there."""
    cdef real c[P * P]
    cdef real turned[P * P]
    cdef part_t *left = net.w_parts + id * net.w_parts_size
    cdef long across = blocks(m, P), deep = panels(op.n_out), low, high, q, k, p, rows, r0, r1
    next_phase(net.shares, id)
    while take_jobs(net.shares, panels(op.n_in) * across, across, blocks(across, 2), id, n, &low, &high):
        q = low // across
        rows = smaller(P, op.n_in - q * P)
        for k in range(deep):
            split_left(net.w + op.w + (k * op.n_in + q * P) * P, P, rows, smaller(P, op.n_out - k * P),
                       left + k * PARTS_BLOCK)
        for p in range(low % across, low % across + high - low):
            r0 = p * P
            r1 = smaller(r0 + P, m)
            if not multiply_blocks(rows, r1 - r0, False, deep, left, op.dzt_parts + p * deep * PARTS_BLOCK, 1, c, P,
                                   False):
                input_block(net, op, q, p, m, c)
            transpose_part(c, P, rows, turned)
            memcpy(below.dz + (q * op.ld + r0) * P, turned, (r1 - r0) * P * sizeof(real))
            if below.activation != SOFTMAX:
                finish_backward(below, q, r0, r1)
