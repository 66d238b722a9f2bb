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
    bint not_finite     # forward only: whether a number of x is
    long done           # train only: batches whose loss was finite


cdef inline fp_state begin_kernels() noexcept nogil:
    """At the beginning of a task, in each thread: denormals count as zero, and the matrix unit is configured."""
    matrix_unit_on()
    return flush_denormals()


cdef inline void end_kernels(fp_state old) noexcept nogil:
    matrix_unit_off()
    restore_denormals(old)


cdef void begin_step(Net *net, uint64_t seed, uint64_t step, long m) noexcept nogil:
    """The numbers of every operation in one step: dropout keys, see kernels/dropout.py, and slopes of penalties."""
    cdef long i
    cdef uint64_t key
    for i in range(net.n_ops):
        key = splitmix64(splitmix64(seed ^ splitmix64(step)) + <uint64_t> i)
        net.ops[i].key[0] = <uint32_t> key
        net.ops[i].key[1] = <uint32_t> (key >> 32)
        net.ops[i].slope_l1 = net.ops[i].activity_l1 / m
        net.ops[i].slope_l2 = net.ops[i].activity_l2 / m


cdef const real *begin_batch(Net *net, const Data *data, long i, long start, long m, bint training, bint *shared,
                             long id, long n) noexcept nogil:
    """Gather the inputs of the batch that begins at `start`, for operation i; wait until all have ended the batch
    before. `shared`: whether the inputs are there in full, or just this thread's rows or, if it shares out the columns
    of an operation by blocks, panels."""
    cdef Op *op = &net.ops[i]
    cdef bint own = own_batch(op, m, training, n), by_blocks = blocks_now(op, m, training)
    cdef real *x = net.x + (id * net.x_size if own else 0)
    cdef long r0 = 0, r1 = m, j0 = 0, j1 = panels(op.n_in)
    if not own or (start > 0 and not own_batch(op, net.capacity, training, n)):
        barrier_wait(&net.barrier, id, n)  # others still read what is in the one copy, which is thread 0's own
    if not own and by_blocks and in_columns(op, m, training, n):
        j0, j1 = share(j1, id, n), share(j1, id + 1, n)
    elif not own:
        r0, r1 = row_share(net, m, id, n), row_share(net, m, id + 1, n)
    if by_blocks and op.thin:
        gather_parts(op, data, start, r0, r1, j0, j1, training, id)
    else:
        gather_inputs(net, data, op.n_in, start, r0, r1, j0, j1, x)
        if by_blocks:
            split_inputs(op, x, P, net.ld * P, j0, j1, r0, r1, training, id)
    if own:
        barrier_wait(&net.barrier, id, n)
    shared[0] = own
    return x


cdef bint forward_op(Net *net, long i, const real *x, long step, long jump, long m, bint training, bint shared, long id,
                     long n) noexcept nogil:
    """y = dropout(activation(x W + b)) or dropout(activation(x)). `shared`: whether x is complete, or only this
    thread's rows of it; returns the same of y. Layout of x: as for forward_product; panels without W."""
    cdef Op *op = &net.ops[i]
    cdef long j, r0 = row_share(net, m, id, n), r1 = row_share(net, m, id + 1, n)
    cdef bint columns = in_columns(op, m, training, n)
    if op.code == BATCH_NORM and training:
        if not shared:
            barrier_wait(&net.barrier, id, n)
        normalize_columns(net, op, x, m, id, n)
        barrier_wait(&net.barrier, id, n)
        columns = True
    elif is_norm(op):
        normalize_rows(net, op, x, training, r0, r1)
    elif columns:
        if not shared:
            barrier_wait(&net.barrier, id, n)
        if blocks_now(op, m, training):
            forward_blocks(net, op, x, step, jump, m, training, id, n)
        else:
            forward_product(net, op, x, step, jump, m, training, id, n)
        barrier_wait(&net.barrier, id, n)
    elif blocks_now(op, m, training):
        for j in range(panels(op.n_out)):
            forward_panel(net, op, x, step, jump, j, r0 // P, blocks(r1, P), m, training, id)
    elif op.code == DENSE:
        forward_rows(net, op, x, step, jump, training, r0, r1, id)
    else:
        for j in range(panels(op.n_out)):
            memcpy(op.y + (j * op.ld + r0) * P, x + j * jump + r0 * P, (r1 - r0) * P * sizeof(real))
            finish_forward(net, op, j, r0, r1, training)
    if op.activation == SOFTMAX:
        softmax_forward(op, r0, r1, training)
        return False
    return columns


cdef void forward_rest(Net *net, long i, long last, long m, bint training, bint shared, long id, long n) noexcept nogil:
    """Operations i to last, on the output of the one before. `shared`: as for forward_op."""
    while i <= last:
        shared = forward_op(net, i, net.ops[i - 1].y, P, net.ld * P, m, training, shared, id, n)
        i += 1


cdef void backward_rows(Op *op, long r0, long r1) noexcept nogil:
    """Rows r0..r1 of op.dz, complete in every column: gradient by the output in, by the pre-activation out."""
    cdef long j
    if op.activation == SOFTMAX:
        softmax_backward(op, r0, r1)
        return
    for j in range(panels(op.n_out)):
        finish_backward(op, j, r0, r1)


cdef inline bint reads_columns(const Op *op) noexcept nogil:
    """Whether a thread needs other threads' rows of an operation's dZ for that of the one below."""
    return op.code == BATCH_NORM or (op.code == DENSE and not op.by_rows)


cdef bint backward_op(Net *net, long i, long m, long id, long n) noexcept nogil:
    """From dZ of operation i to dZ of the one below. Returns whether that is complete, or just this thread's rows."""
    cdef Op *op = &net.ops[i]
    cdef Op *below = &net.ops[i - 1]
    cdef long j, r0 = row_share(net, m, id, n), r1 = row_share(net, m, id + 1, n)
    cdef bint shared = reads_columns(op)
    if op.code == BATCH_NORM:
        column_gradients(net, op, below, below.y, m, id, n)
        barrier_wait(&net.barrier, id, n)
    elif op.code == LAYER_NORM:
        row_gradients(net, op, below, below.y, r0, r1)
    elif shared:
        if op.by_blocks:
            input_gradient_blocks(net, op, below, m, id, n)
        else:
            input_gradient(net, op, below, m, id, n)
        barrier_wait(&net.barrier, id, n)
    elif op.code == DENSE:
        input_gradient_rows(net, op, below, r0, r1, id)
    else:
        for j in range(panels(op.n_out)):
            memcpy(below.dz + (j * op.ld + r0) * P, op.dz + (j * op.ld + r0) * P, (r1 - r0) * P * sizeof(real))
            if below.activation != SOFTMAX:
                finish_backward(below, j, r0, r1)
    if below.activation == SOFTMAX:
        softmax_backward(below, r0, r1)
        return False
    return shared


cdef void write_outputs(const Net *net, long r0, long r1, real *out) noexcept nogil:
    """Rows r0..r1 of the last operation's y, with the activation that the loss had absorbed, which y then has too.
    Shapes: out (m, n_out), row-major. Aliasing: none."""
    cdef Op *last = &net.ops[net.n_ops - 1]
    cdef long j
    if net.output_activation == SOFTMAX:
        softmax_forward(last, r0, r1, False)
    elif net.output_activation != LINEAR:
        for j in range(panels(last.n_out)):
            activate_run(net.output_activation, 0, last.y + (j * net.ld + r0) * P, (r1 - r0) * P)
    write_rows(last.y, last.n_out, net.ld, r0, r1, out)


cdef void total_rows(const Net *net, long m, double *sums) noexcept nogil:
    """Add the losses, with the penalty for each row, and metrics to sums (1 + n_metrics,), in order."""
    cdef long b, i, j
    if net.penalized:
        sums[0] += m * total_penalty(net)
    if net.loss_in_columns:
        for j in range(panels(net.ops[net.n_ops - 1].n_out)):
            for b in range(blocks(m, net.rows_together)):
                sums[0] += net.part_loss[j * blocks(net.capacity, net.rows_together) + b]
        return
    for b in range(m):
        sums[0] += net.row_loss[b]
    for i in range(net.n_metrics):
        for b in range(m):
            sums[1 + i] += net.row_metric[i * net.capacity + b]


cdef void use_weight_gradient(Call *call, long i, const real *x, long m, const Update *update, long id,
                              long n) noexcept nogil:
    """The gradients of operation i's weights, if it has any, from its inputs x and its dZ."""
    cdef Op *op = &call.net.ops[i]
    if op.code == DENSE:
        weight_gradient(call.net, op, x, m, update, call.gradient, id, n)
    elif is_norm(op):
        norm_gradient(call.net, op, x, m, update, call.gradient, id, n)


cdef bint backward_all(Call *call, const real *x, long start, long m, const Update *update, double *sums, bint shared,
                       long id, long n) noexcept nogil:
    """From dZ of the last operation to the weights, each of which changes once everybody has read it. `shared`: whether
    that dZ is complete, or just this thread's rows. False, and nothing changed, if the loss is not finite."""
    cdef Net *net = call.net
    cdef long i = net.n_ops - 1, waiting = i
    cdef bint summed = False
    cdef double mine[1 + MAX_METRICS]
    while True:
        if slabs_now(&net.ops[i], n):
            slab_gradients(net, &net.ops[i], x if i == 0 else net.ops[i - 1].y, m, id, n)
            shared = False  # others' slabs have to be waited for, even where all of dZ was there
        if i <= net.first_trained or reads_columns(&net.ops[i]):
            if not shared:
                barrier_wait(&net.barrier, id, n)
            if not summed:
                summed = True
                memset(mine, 0, sizeof(mine))
                total_rows(net, m, mine)  # every thread sums for itself: cheaper than meeting once more
                if id == 0:
                    memcpy(sums, mine, (1 + net.n_metrics) * sizeof(double))
                if not isfinite(mine[0]):
                    return False
            while waiting > i:
                use_weight_gradient(call, waiting, net.ops[waiting - 1].y, m, update, id, n)
                waiting -= 1
        if i <= net.first_trained:
            break
        shared = backward_op(net, i, m, id, n)
        i -= 1
    if i == net.first_trained:
        if i > 0:
            x = net.ops[i - 1].y
        if net.ops[i].code == BATCH_NORM:
            column_gradients(net, &net.ops[i], NULL, x, m, id, n)
        if i == 0 and net.looks_ahead and start + m < call.rows:
            update_and_look_ahead(net, &call.data, x, start, m, call.rows, update, id, n)
        else:
            use_weight_gradient(call, i, x, m, update, id, n)
    return True


cdef bint run_batch(Call *call, long start, long m, const Update *update, double *sums, long id, long n) noexcept nogil:
    """One batch: forward, loss, backward, and the update unless a gradient is wanted. False, and nothing changed,
    if the loss is not finite."""
    cdef Net *net = call.net
    cdef Op *last = &net.ops[net.n_ops - 1]
    cdef long r0 = row_share(net, m, id, n), r1 = row_share(net, m, id + 1, n)
    cdef bint shared
    cdef const real *x
    if not net.reproduces:
        gather_targets(net, &call.data, start, r0, r1)
    x = begin_batch(net, &call.data, 0, start, m, True, &shared, id, n)
    if net.penalized:
        sum_penalties(net, id, n)
    if net.looks_ahead and start > 0:
        forward_ahead(net, m, id, n)
        shared = True
    else:
        shared = forward_op(net, 0, x, P, net.ld * P, m, True, shared, id, n)
    forward_rest(net, 1, net.n_ops - 1, m, True, shared, id, n)
    if not net.loss_in_columns:
        loss_rows(net, &call.data, m, r0, r1, id)
    if call.out != NULL:
        write_outputs(net, r0, r1, call.out + start * last.n_out)
    if not net.loss_in_columns:
        backward_rows(last, r0, r1)
    return backward_all(call, x, start, m, update, sums, net.loss_in_columns, id, n)


cdef void train_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef Net *net = call.net
    cdef fp_state old = begin_kernels()
    cdef Update update
    cdef long k, m
    for k in range(call.n_batches):
        m = smaller(call.batch, call.rows - k * call.batch)
        if id == 0:  # nobody has read the last ones since the weight gradients began
            begin_step(net, call.seed, call.step + k, m)
        update = prepare_update(net, call.rates[k], call.step + k + 1)
        if not run_batch(call, k * call.batch, m, &update, call.sums + k * (1 + net.n_metrics), id, n):
            break
        if net.whole_gradient:
            barrier_wait(&net.barrier, id, n)
            if net.tied:
                add_tied(net, call.gradient, id, n)
                barrier_wait(&net.barrier, id, n)
            update_from(net, &update, call.gradient, id, n)
        if net.constrained:
            barrier_wait(&net.barrier, id, n)
            constrain(net, id, n)
        if net.tied:
            barrier_wait(&net.barrier, id, n)
            refresh_tied(net, id, n)
        if id == 0:
            call.done = k + 1
    end_kernels(old)


cdef void loss_grad_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef fp_state old = begin_kernels()
    if id == 0:
        begin_step(call.net, call.seed, call.step, call.rows)
    run_batch(call, 0, call.rows, NULL, call.sums, id, n)
    if call.net.tied:
        barrier_wait(&call.net.barrier, id, n)
        add_tied(call.net, call.gradient, id, n)
    end_kernels(old)


cdef void evaluate_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef Net *net = call.net
    cdef fp_state old = begin_kernels()
    cdef const real *x
    cdef long k = 0, m
    cdef bint shared
    while k < call.rows:
        m = smaller(call.batch, call.rows - k)
        gather_targets(net, &call.data, k, row_share(net, m, id, n), row_share(net, m, id + 1, n))
        x = begin_batch(net, &call.data, 0, k, m, False, &shared, id, n)
        if net.penalized:
            sum_penalties(net, id, n)
        shared = forward_op(net, 0, x, P, net.ld * P, m, False, shared, id, n)
        forward_rest(net, 1, net.n_ops - 1, m, False, shared, id, n)
        loss_rows(net, &call.data, m, row_share(net, m, id, n), row_share(net, m, id + 1, n), id)
        barrier_wait(&net.barrier, id, n)
        if id == 0:
            total_rows(net, m, call.sums)
        k += m
    end_kernels(old)


cdef void forward_task(void *argument, long id, long n) noexcept nogil:
    cdef Call *call = <Call *> argument
    cdef Net *net = call.net
    cdef Op *first = &net.ops[call.first]
    cdef Op *last = &net.ops[call.last]
    cdef fp_state old = begin_kernels()
    cdef const real *x
    cdef long k = 0, m, r0, r1
    cdef bint shared
    while k < call.rows:
        m = smaller(call.batch, call.rows - k)
        r0 = row_share(net, m, id, n)
        r1 = row_share(net, m, id + 1, n)
        if call.data.xr != NULL and not all_finite(call.data.xr + (k + r0) * first.n_in, (r1 - r0) * first.n_in):
            call.not_finite = True
        if call.data.xr != NULL and first.code == DENSE:  # no need to gather what can be read where it lies
            barrier_wait(&net.barrier, id, n)
            x = call.data.xr + k * first.n_in
            shared = not blocks_now(first, m, False)
            if blocks_now(first, m, False):
                split_inputs(first, x, first.n_in, P, 0, panels(first.n_in), r0, r1, False, 0)
            shared = forward_op(net, call.first, x, first.n_in, P, m, False, shared, id, n)
        else:
            x = begin_batch(net, &call.data, call.first, k, m, False, &shared, id, n)
            shared = forward_op(net, call.first, x, P, net.ld * P, m, False, shared, id, n)
        forward_rest(net, call.first + 1, call.last, m, False, shared, id, n)
        if call.last == net.n_ops - 1:
            write_outputs(net, r0, r1, call.out + k * last.n_out)
        else:
            write_rows(last.y, last.n_out, net.ld, r0, r1, call.out + k * last.n_out)
        k += m
    end_kernels(old)
