# The scratch of a network: one arena, in which every array has its place.


cdef void *carve(size_t *used, char *base, size_t bytes) noexcept nogil:
    """The next `bytes` of an arena, on a cache line of their own; with base NULL only the size is counted."""
    cdef size_t at = used[0]
    used[0] = (at + bytes + 63) & ~(<size_t>63)
    return NULL if base == NULL else base + at


cdef long norm_parts(const Net *net) noexcept nogil:
    """How many partial sums `square_sums` makes: those of every kernel, then of every bias."""
    cdef long i, parts = 0
    for i in range(net.n_ops):
        # A little too many where tied.
        parts += blocks(net.ops[i].w_rows * net.ops[i].n_out, NORM_BLOCK) + blocks(net.ops[i].n_out, NORM_BLOCK)
    return parts


cdef size_t lay_out(Net *net, char *base) noexcept nogil:
    """Give every scratch array its place; returns the bytes needed. Nothing here grows with the number of rows."""
    cdef size_t used = 0, one = sizeof(real)
    cdef long mp = panels(net.capacity) * P, m = net.capacity, i, widest = 0, wide_in = 0, deepest = 0, longest = 0
    cdef long ld = panel_rows(mp if MATRIX_UNIT and m >= LEAST_BYTES else m)  # whole blocks are written
    cdef long all_panels = 0, copied = 0, copies
    cdef Op *op
    for i in range(net.n_ops):
        wide_in = max(wide_in, panels(net.ops[i].n_in))  # `forward` may begin at any operation
    net.ld = ld
    net.x_size = wide_in * ld * P
    net.x = <real *> carve(&used, base, smaller(net.threads, OWN_BATCH) * net.x_size * one)
    if may_look_ahead(net):
        net.following = <real *> carve(&used, base, net.threads * panels(net.ops[0].n_in) * ld * P * one)
        net.product = <real *> carve(&used, base, panels(net.ops[0].n_out) * FEW * P * one)
    net.t = <real *> carve(&used, base, panels(net.ops[net.n_ops - 1].n_out) * ld * P * one)
    net.label = <int32_t *> carve(&used, base, m * sizeof(int32_t))
    net.row_weight = <real *> carve(&used, base, m * one)
    net.row_loss = <double *> carve(&used, base, m * sizeof(double))
    net.row_metric = <double *> carve(&used, base, net.n_metrics * m * sizeof(double))
    net.turned = <real *> carve(&used, base, net.threads * turned_size(net.loss, net.ops[net.n_ops - 1].n_out) * one)
    for i in range(net.n_ops):
        op = &net.ops[i]
        op.ld = ld
        op.row_blocks = panels(m)
        if op.source >= 0:
            op.flat_w = copied
            copied += op.n_in * op.n_out
        op.first_panel = all_panels
        all_panels += panels(op.n_out)
        op.y = <real *> carve(&used, base, panels(op.n_out) * ld * P * one)
        op.dz = <real *> carve(&used, base, panels(op.n_out) * ld * P * one)
        if needs_z(op):
            op.z = <real *> carve(&used, base, panels(op.n_out) * ld * P * one)
        if op.code == BATCH_NORM:
            op.statistics = <real *> carve(&used, base, 4 * op.moving_jump * one)
        if op.code == LAYER_NORM:
            op.statistics = <real *> carve(&used, base, 2 * ld * one)
        if op.single:
            longest = max(longest, panels(op.n_in) * P)
        if op.by_blocks:
            copies = smaller(net.threads, OWN_BATCH) if i == 0 and own_parts(op) > 0 else 1
            copies *= panels(m) * panels(op.n_in)
            op.x_parts = <part_t *> carve(&used, base, copies * PARTS_BLOCK * sizeof(part_t))
            op.xt_parts = <part_t *> carve(&used, base, copies * PARTS_BLOCK * sizeof(part_t))
            if m >= LEAST_ROWS:
                op.dz_parts = <part_t *> carve(&used, base,
                                               panels(m) * panels(op.n_out) * PARTS_BLOCK * sizeof(part_t))
            else:
                deepest = max(deepest, panels(m))
            if i > net.first_trained:
                op.dzt_parts = <part_t *> carve(&used, base,
                                                panels(m) * panels(op.n_out) * PARTS_BLOCK * sizeof(part_t))
            deepest = max(deepest, max(panels(op.n_in), panels(op.n_out)))
        elif op.by_rows and i > net.first_trained:
            longest = max(longest, panels(op.n_out) * P * P)
        elif op.code == DENSE and i > net.first_trained:
            op.dzt = <real *> carve(&used, base, mp * panels(op.n_out) * P * one)
            widest = max(widest, panels(op.n_in) * P)
    net.w_turned_size = longest
    net.w_turned = <real *> carve(&used, base, net.threads * net.w_turned_size * one)
    net.w_parts_size = deepest * PARTS_BLOCK
    net.w_parts = <part_t *> carve(&used, base, net.threads * net.w_parts_size * sizeof(part_t))
    net.dxt = <real *> carve(&used, base, mp * widest * one)
    net.part_loss = <double *> carve(&used, base, panels(net.ops[net.n_ops - 1].n_out) * blocks(m, net.rows_together)
                                     * sizeof(double))
    net.shares = <share_t *> carve(&used, base, net.threads * sizeof(share_t))
    net.penalty = <double *> carve(&used, base, all_panels * sizeof(double))
    if net.whole_gradient:
        net.gradient = <real *> carve(&used, base, net.n_params * one)
    net.slabs = <real *> carve(&used, base, SLABS * net.slab_size * one)
    net.tied_gradient = <real *> carve(&used, base, copied * one)
    if net.clip_norm > 0:
        net.squares = <double *> carve(&used, base, norm_parts(net) * sizeof(double))
    return used
