# The optimisers, on a run of parameters and their state. Formulas: kernels/optimizers.py.


cdef double nadam_product(double beta_1, long t) noexcept nogil:
    """The product of Nadam's momentum over the steps 1 to t."""
    cdef double product = beta_1 ** t, power = 1
    cdef long i
    for i in range(smaller(t, 1000)):
        power *= 0.96
        product *= 1 - 0.5 * power
    return product


cdef Update prepare_update(const Net *net, double rate, long t) noexcept nogil:
    """Round the numbers of step t (counted from 1) to real, once a step."""
    cdef Update u
    cdef double correction = 1, now, following
    memset(&u, 0, sizeof(u))
    u.code = net.optimizer
    u.plain = rate
    if u.code == ADAM:
        correction = sqrt(1 - net.hyper[1] ** t) / (1 - net.hyper[0] ** t)
        u.c1 = <real> (1 - net.hyper[0])
        u.c2 = <real> (1 - net.hyper[1])
        u.epsilon = <real> net.hyper[2]
    elif u.code == MOMENTUM:
        u.c1 = <real> net.hyper[0]
        u.nesterov = net.hyper[1] != 0
    elif u.code == RMSPROP:
        u.c1 = <real> net.hyper[0]
        u.c2 = <real> (1 - net.hyper[0])
        u.epsilon = <real> net.hyper[1]
    elif u.code == ADAGRAD:
        u.epsilon = <real> (net.hyper[0] + net.hyper[1])
    elif u.code == ADAMAX:
        correction = 1 / (1 - net.hyper[0] ** t)
        u.c1 = <real> (1 - net.hyper[0])
        u.c2 = <real> net.hyper[1]
        u.epsilon = <real> net.hyper[2]
    elif u.code == NADAM:
        now = net.hyper[0] * (1 - 0.5 * 0.96 ** t)
        following = net.hyper[0] * (1 - 0.5 * 0.96 ** (t + 1))
        correction = nadam_product(net.hyper[0], t)
        rate *= sqrt(1 - net.hyper[1] ** t)
        u.ahead = <real> (rate * (1 - now) / (1 - correction))
        correction = following / (1 - nadam_product(net.hyper[0], t + 1))
        u.c1 = <real> (1 - net.hyper[0])
        u.c2 = <real> (1 - net.hyper[1])
        u.epsilon = <real> (net.hyper[2] * sqrt(1 - net.hyper[1] ** t))
    elif u.code == LION:
        u.c1 = <real> net.hyper[0]
        u.c2 = <real> net.hyper[1]
    u.rate = <real> (rate * correction)
    u.clip = <real> net.clip_value
    return u


cdef void apply_update(Net *net, const Update *update, long at, real *g, long rows, double decay) noexcept nogil:
    """Shapes: g (rows, P), the gradient of `rows * P` packed parameters from `at` on, which is clipped by value first.
    `decay`: of these parameters. The padding is updated too: nothing reads it.
    Layout: contiguous. Aliasing: none."""
    cdef long i, n = rows * P
    cdef real rate = update.rate, c1 = update.c1, c2 = update.c2, epsilon = update.epsilon, s
    cdef real fall = <real> (update.plain * decay)
    cdef real *w = net.w + at
    cdef real *m = net.slot[0] + at
    cdef real *v = net.slot[1] + at
    cdef int code = update.code
    if update.clip > 0:
        for i in range(n):
            g[i] = update.clip if g[i] > update.clip else (-update.clip if g[i] < -update.clip else g[i])
    if decay != 0:
        for i in range(n):
            w[i] -= fall * w[i]
    if code == ADAM:
        for i in range(n // LANES):
            adam_vector(w + i * LANES, m + i * LANES, v + i * LANES, g + i * LANES, rate, c1, c2, epsilon)
    elif code == SGD:
        for i in range(n):
            w[i] -= rate * g[i]
    elif code == MOMENTUM:
        for i in range(n):
            s = m[i] * c1 - rate * g[i]
            m[i] = s
            w[i] += s * c1 - rate * g[i] if update.nesterov else s
    elif code == RMSPROP:
        for i in range(n // LANES):
            rmsprop_vector(w + i * LANES, m + i * LANES, g + i * LANES, rate, c1, c2, epsilon)
    elif code == ADAGRAD:
        for i in range(n // LANES):
            adagrad_vector(w + i * LANES, m + i * LANES, g + i * LANES, rate, epsilon)
    elif code == ADAMAX:
        for i in range(n // LANES):
            adamax_vector(w + i * LANES, m + i * LANES, v + i * LANES, g + i * LANES, rate, c1, c2, epsilon)
    elif code == NADAM:
        for i in range(n // LANES):
            nadam_vector(w + i * LANES, m + i * LANES, v + i * LANES, g + i * LANES, rate, update.ahead, c1, c2,
                         epsilon)
    elif code == LION:
        for i in range(n):
            s = m[i] * c1 + g[i] * (1 - c1)
            m[i] = m[i] * c2 + g[i] * (1 - c2)
            w[i] -= rate if s > 0 else (-rate if s < 0 else s)


cdef void use_gradient(Net *net, long at, real *g, long rows, real l1, real l2, double decay, const Update *update,
                       real *gradient, long flat, long step, long wide) noexcept nogil:
    """Shapes: g (rows, P), the gradient by the parameters packed at `at`, without penalties: to update them, or, if
    `gradient` is given, to be written there, (rows, wide) from `flat` on. Layout: rows `step` apart. Aliasing: none."""
    cdef long r
    if l1 != 0 or l2 != 0:
        add_slope(net.w + at, l1, l2, g, rows * P)
    if gradient == NULL:
        apply_update(net, update, at, g, rows, decay)
    else:
        for r in range(rows):
            memcpy(gradient + flat + r * step, g + r * P, wide * sizeof(real))
