# Plain gradient descent by a few rows a batch does little with each weight: a step takes as long as the first layer's
# weights take to come from the second-level cache, once for the product and once for the update. But the inputs of the
# next batch are known before this one's update, so that both are done to a stretch of W while it is near:
#
#   batch k                                                     batch k + 1
#   ... | W[0:128] += X'(-rate dZ), product += X_next W[0:128], | y = activation(product + b), ...
#       | W[128:256] += ...                                     |
#
# The product is summed as forward_product would sum it, so that calls can be cut anywhere. The last batch of a call,
# whose next is not known, goes the usual way.


cdef bint may_look_ahead(const Net *net) noexcept nogil:
    """Whether the first operation's product can be made as its weights are updated, and nothing changes them after."""
    cdef const Op *first = &net.ops[0]
    return (first.code == DENSE and first.activation != SOFTMAX and not first.by_rows
            and adds_rows(net, first, net.capacity) and not net.whole_gradient
            and not net.constrained)


cdef void update_and_look_ahead(Net *net, const Data *data, const real *x, long start, long m, long rows,
                                const Update *update, long id, long n) noexcept nogil:
    """What weight_gradient does to the first operation after the batch that begins at `start`, and the product of the
    next batch, which the call's `rows` may cut short. That batch is gathered again when its turn comes: x may be another
    thread's as well. Shapes: x (m, n_in). Layout: panels. Aliasing: none."""
    cdef Op *op = &net.ops[0]
    cdef real scaled[FEW * P]
    cdef real *following = net.following + id * panels(op.n_in) * net.ld * P
    cdef long next_m = smaller(m, rows - start - m), j, q, k, depth, wide, low, high
    cdef real *w
    cdef real *product
    gather_inputs(net, data, op.n_in, start + m, 0, next_m, 0, panels(op.n_in), following)
    next_phase(net.shares, id)
    while take_jobs(net.shares, panels(op.n_out), 1, 1, id, n, &low, &high):
        for j in range(low, high):
            w = net.w + op.w + j * op.n_in * P
            product = net.product + j * FEW * P
            wide = smaller(P, op.n_out - j * P)
            scale_rows(op, update, j, m, scaled)
            k = 0
            while k < op.n_in:
                depth = smaller(K_BLOCK, op.n_in - k)
                if net.ld == 1:
                    add_and_multiply_row(depth, vectors(wide), x + k, scaled, following + k, w + k * P, product, k > 0)
                else:
                    for q in range(k // P, panels(k + depth)):
                        tiles_transposed(smaller(P, op.n_in - q * P), vectors(wide), m, x + q * op.ld * P, scaled,
                                         w + q * P * P, True)
                    tiles_natural(next_m, vectors(wide), depth, following + k * net.ld, P, net.ld * P, w + k * P,
                                  product, k > 0)
                k += depth
            if op.flat_b >= 0:
                use_bias_gradient(net, op, j, m, update, NULL, n)


cdef void forward_ahead(Net *net, long m, long id, long n) noexcept nogil:
    """forward_op for the first operation, whose product the last step has made. y is then complete.
    Shapes: y (m, n_out). Layout: panels. Aliasing: none."""
    cdef Op *op = &net.ops[0]
    cdef long j, low, high
    next_phase(net.shares, id)
    while take_jobs(net.shares, panels(op.n_out), 1, 1, id, n, &low, &high):
        for j in range(low, high):
            memcpy(op.y + j * op.ld * P, net.product + j * FEW * P, m * P * sizeof(real))
            finish_forward(net, op, j, 0, m, True)
            if net.loss_in_columns and net.n_ops == 1:
                loss_panel(net, op, j, 0, m, m, id)
    barrier_wait(&net.barrier, id, n)
