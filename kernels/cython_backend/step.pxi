# The step: gather, forward, loss, backward, update. Every thread runs these functions side by side and does its share
# of each phase; `net.barrier` stands wherever a phase reads what another thread wrote in the one before.

cdef struct Call:
    Net *net
    Data data
    long rows           # of the call
    long batch
    const double *rates
    long n_batches
    uint64_t seed
    uint64_t step
    double *sums        # (n_batches, 1 + n_metrics), or (1 + n_metrics,)
    real *gradient      # loss_grad only
    long first          # forward only
    long last
    real *out           # forward; train, or NULL: outputs of every row of the call
    long done           # train only: batches whose loss was finite


cdef inline long row_share(long m, long id, long n) noexcept nogil:
    """Where thread id's share of the rows of a batch begins: a multiple of LANES, so that threads never transpose
    parts of one square."""
    return smaller(m, share(blocks(m, LANES), id, n) * LANES)


cdef const real *take_inputs(Net *net, const Data *data, long width, long start, long m, long id, long n) noexcept nogil:
    """Gather the inputs of the batch that begins at `start`, ready for this thread to read. See own_batch."""
    cdef real *x = net.x + id * net.x_size
    if own_batch(n):
        gather_inputs(net, data, width, start, m, 0, m, x)
        return x
    gather_inputs(net, data, width, start, m, row_share(m, id, n), row_share(m, id + 1, n), net.x)
    barrier_wait(&net.barrier, n)
    return net.x


cdef void draw_keys(Net *net, uint64_t seed, uint64_t step) noexcept nogil:
    """The dropout keys of every operation in one step; see kernels/dropout.py."""
    cdef long i
    cdef uint64_t key
    for i in range(net.n_ops):
        key = splitmix64(splitmix64(seed ^ splitmix64(step)) + <uint64_t> i)
        net.ops[i].key[0] = <uint32_t> key
        net.ops[i].key[1] = <uint32_t> (key >> 32)


cdef void forward_op(Net *net, long i, const real *x, long step, long jump, long m, bint training, long id,
                     long n) noexcept nogil:
    """y = dropout(activation(x W + b)) or dropout(activation(x)). Ends in a barrier. Layout of x: as for
    forward_product; panels without W."""
    cdef Op *op = &net.ops[i]
    cdef long j, r0, r1
    if op.code == DENSE:
        forward_product(net, op, x, step, jump, m, training, id, n)
    else:
        r0 = row_share(m, id, n)
        r1 = row_share(m, id + 1, n)
        for j in range(panels(op.n_out)):
            memcpy(op.y + (j * m + r0) * P, x + (j * m + r0) * P, (r1 - r0) * P * sizeof(real))
            finish_forward(net, op, j, m, r0, r1, training)
    barrier_wait(&net.barrier, n)
    if op.activation == SOFTMAX:
        softmax_forward(op, m, row_share(m, id, n), row_share(m, id + 1, n), training)
        barrier_wait(&net.barrier, n)


cdef void forward_all(Net *net, const real *x, long m, bint training, long id, long n) noexcept nogil:
    """All operations on the gathered batch."""
    cdef long i
    for i in range(net.n_ops):
        forward_op(net, i, net.ops[i - 1].y if i else x, P, m * P, m, training, id, n)


cdef void backward_rows(Op *op, long m, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of op.dz, complete in every column: gradient by the output in, by the pre-activation out."""
    cdef long j
    if op.activation == SOFTMAX:
        softmax_backward(op, m, r0, r1)
        return
    for j in range(panels(op.n_out)):
        finish_backward(op, j, m, r0, r1)


cdef void backward_op(Net *net, long i, const real *x, long m, const Update *update, real *gradient, long id,
                      long n) noexcept nogil:
    """From dZ of operation i to dZ of the one below, then its own weights: these are read before they change."""
    cdef Op *op = &net.ops[i]
    cdef Op *below = &net.ops[i - 1] if i > net.first_dense else NULL
    cdef long j, r0 = row_share(m, id, n), r1 = row_share(m, id + 1, n)
    if below != NULL:
        if op.code == DENSE:
            input_gradient(net, op, below, m, id, n)
            barrier_wait(&net.barrier, n)
        else:
            for j in range(panels(op.n_out)):
                memcpy(below.dz + (j * m + r0) * P, op.dz + (j * m + r0) * P, (r1 - r0) * P * sizeof(real))
                if below.activation != SOFTMAX:
                    finish_backward(below, j, m, r0, r1)
            barrier_wait(&net.barrier, n)
        if below.activation == SOFTMAX:
            softmax_backward(below, m, r0, r1)
            barrier_wait(&net.barrier, n)
    if op.code == DENSE:
        weight_gradient(net, op, net.ops[i - 1].y if i > 0 else x, m, update, gradient, id, n)


cdef void write_outputs(const Net *net, long m, long r0, long r1, real *out) noexcept nogil:
    """Rows r0..r1 of the last operation's y, with the activation that the loss had absorbed, which y then has too.
    Shapes: out (m, n_out), row-major. Aliasing: none."""
    cdef Op *last = &net.ops[net.n_ops - 1]
    cdef long j
    if net.output_activation == SOFTMAX:
        softmax_forward(last, m, r0, r1, False)
    elif net.output_activation != LINEAR:
        for j in range(panels(last.n_out)):
            activate_run(net.output_activation, 0, last.y + (j * m + r0) * P, (r1 - r0) * P)
    write_rows(last.y, last.n_out, m, r0, r1, out)


cdef void total_rows(const Net *net, long m, double *sums) noexcept nogil:
    """Add the rows' losses and metrics to sums (1 + n_metrics,), in order."""
    cdef long b, i
    for b in range(m):
        sums[0] += net.row_loss[b]
    for i in range(net.n_metrics):
        for b in range(m):
            sums[1 + i] += net.row_metric[i * net.capacity + b]


cdef bint run_batch(Call *call, long start, long m, const Update *update, double *sums, long id, long n) noexcept nogil:
    """One batch: forward, loss, backward, and the update unless a gradient is wanted. False, and nothing changed,
    if the loss is not finite."""
    cdef Net *net = call.net
    cdef Op *last = &net.ops[net.n_ops - 1]
    cdef long i, r0 = row_share(m, id, n), r1 = row_share(m, id + 1, n)
    cdef double mine[1 + MAX_METRICS]
    cdef const real *x = take_inputs(net, &call.data, net.ops[0].n_in, start, m, id, n)
    gather_targets(net, &call.data, start, m, r0, r1)
    forward_all(net, x, m, True, id, n)
    loss_rows(net, &call.data, m, r0, r1)
    if call.out != NULL:
        write_outputs(net, m, r0, r1, call.out + start * last.n_out)
    backward_rows(last, m, r0, r1)
    barrier_wait(&net.barrier, n)
    memset(mine, 0, sizeof(mine))
    total_rows(net, m, mine)  # every thread sums for itself: cheaper than meeting once more
    if id == 0:
        memcpy(sums, mine, (1 + net.n_metrics) * sizeof(double))
    if not isfinite(mine[0]):
        return False
    i = net.n_ops - 1
    while i >= net.first_dense:
        backward_op(net, i, x, m, update, call.gradient, id, n)
        i -= 1
    return True


cdef void train_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef Net *net = call.net
    cdef fp_state old = flush_denormals()
    cdef Update update
    cdef long k, m
    for k in range(call.n_batches):
        if id == 0:
            draw_keys(net, call.seed, call.step + k)  # nobody has read the last ones since the weight gradients began
        barrier_wait(&net.barrier, n)
        m = smaller(call.batch, call.rows - k * call.batch)
        update = prepare_update(net, call.rates[k], call.step + k + 1)
        if not run_batch(call, k * call.batch, m, &update, call.sums + k * (1 + net.n_metrics), id, n):
            break
        if id == 0:
            call.done = k + 1
    restore_denormals(old)


cdef void loss_grad_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef fp_state old = flush_denormals()
    if id == 0:
        draw_keys(call.net, call.seed, call.step)
    barrier_wait(&call.net.barrier, n)
    run_batch(call, 0, call.rows, NULL, call.sums, id, n)
    restore_denormals(old)


cdef void evaluate_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef Net *net = call.net
    cdef fp_state old = flush_denormals()
    cdef const real *x
    cdef long k = 0, m
    while k < call.rows:
        m = smaller(call.batch, call.rows - k)
        x = take_inputs(net, &call.data, net.ops[0].n_in, k, m, id, n)
        gather_targets(net, &call.data, k, m, row_share(m, id, n), row_share(m, id + 1, n))
        forward_all(net, x, m, False, id, n)
        loss_rows(net, &call.data, m, row_share(m, id, n), row_share(m, id + 1, n))
        barrier_wait(&net.barrier, n)
        if id == 0:
            total_rows(net, m, call.sums)
        barrier_wait(&net.barrier, n)
        k += m
    restore_denormals(old)


cdef void forward_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef Net *net = call.net
    cdef Op *first = &net.ops[call.first]
    cdef Op *last = &net.ops[call.last]
    cdef fp_state old = flush_denormals()
    cdef const real *x
    cdef long k = 0, i, m, r0, r1
    while k < call.rows:
        m = smaller(call.batch, call.rows - k)
        r0 = row_share(m, id, n)
        r1 = row_share(m, id + 1, n)
        if call.data.xr != NULL and first.code == DENSE:  # no need to gather what can be read where it lies
            forward_op(net, call.first, call.data.xr + k * first.n_in, first.n_in, P, m, False, id, n)
        else:
            x = take_inputs(net, &call.data, first.n_in, k, m, id, n)
            forward_op(net, call.first, x, P, m * P, m, False, id, n)
        for i in range(call.first + 1, call.last + 1):
            forward_op(net, i, net.ops[i - 1].y, P, m * P, m, False, id, n)
        if call.last == net.n_ops - 1:
            write_outputs(net, m, r0, r1, call.out + k * last.n_out)
        else:
            write_rows(last.y, last.n_out, m, r0, r1, call.out + k * last.n_out)
        barrier_wait(&net.barrier, n)
        k += m
    restore_denormals(old)
