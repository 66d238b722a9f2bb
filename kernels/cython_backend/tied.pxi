# Operations whose W is the transpose of another's: they have a copy in the packed vector, which follows each update, and
# a gradient of their own, which is added to the other's before one.


cdef void refresh_tied(Net *net, long id, long n) noexcept nogil:
    """The copies anew from their sources, this thread's share. The sources must not change meanwhile."""
    cdef long i, j, q
    cdef Op *op
    cdef const Op *source
    for i in range(net.n_ops):
        op = &net.ops[i]
        if op.source < 0:
            continue
        source = &net.ops[op.source]
        for q in range(share(panels(op.n_out), id, n), share(panels(op.n_out), id + 1, n)):
            for j in range(panels(op.n_in)):
                transpose_block(net.w + source.w, source.n_in, source.n_out, j, q,
                                net.w + op.w + (q * op.n_in + j * P) * P)


cdef void add_tied(const Net *net, real *gradient, long id, long n) noexcept nogil:
    """Shapes: gradient (n_params,): the gradients of the copies are added to those of their sources, this thread's
    share. Layout: that of the plan. Aliasing: none."""
    cdef long i, r, c, rows, wide
    cdef const Op *op
    cdef const real *from_copy
    cdef real *row
    for i in range(net.n_ops):
        op = &net.ops[i]
        if op.source < 0:
            continue
        rows, wide = op.n_out, op.n_in
        for r in range(share(rows, id, n), share(rows, id + 1, n)):
            row = gradient + net.ops[op.source].flat_w + r * wide
            from_copy = net.tied_gradient + op.flat_w + r
            for c in range(wide):
                row[c] += from_copy[c * rows]
