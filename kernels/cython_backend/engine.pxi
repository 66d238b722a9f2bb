# The engine of one instruction set and one precision. Arrays arrive as addresses: the wrapper in __init__.py has
# checked them, and memory views would make each of these modules four times as large.

include "net.pxi"
include "scratch.pxi"
include "panels.pxi"
include "updates.pxi"
include "noise.pxi"
include "parts.pxi"
include "epilogues.pxi"
include "slabs.pxi"
include "gemm.pxi"
include "blocks.pxi"
include "losses.pxi"
include "penalties.pxi"
include "normalization.pxi"
include "tied.pxi"
include "clipping.pxi"
include "lookahead.pxi"
include "step.pxi"

# Multiply-adds for which it pays to wake one more thread: about 16 us of work; the barriers of a step cost 3.
cdef enum:
    WORTH_A_THREAD = 1 << 20
    NUMBERS_EACH = 1 << 16  # parameters and state that a thread carries: about as much work


cdef struct Transfer:
    Net *net
    real *params      # (n_params,)
    real *state       # (n_slots, n_params)
    long n_params
    bint pack         # from these into the panels, or back


cdef void transfer_task(void *argument, long id, long n) noexcept nogil:
    cdef const Transfer *t = <Transfer *> argument
    cdef Net *net = t.net
    cdef long i
    move_vector(net, net.w, t.params, t.pack, id, n)
    for i in range(net.n_slots):
        move_vector(net, net.slot[i], t.state + i * t.n_params, t.pack, id, n)


cdef class Engine:
    """A network in packed layout, with its scratch."""

    cdef Net net
    cdef pool_run_t run
    cdef char *parameters
    cdef long macs  # multiply-adds of one row through all dense operations

    def __cinit__(self, uintptr_t pool, plan, long capacity, long threads):
        cdef Net *net = &self.net
        cdef Op *op
        cdef long i, at = 0
        cdef size_t one, size
        self.run = <pool_run_t> pool
        if len(plan.metrics) > MAX_METRICS:
            raise ValueError(f"at most {MAX_METRICS} metrics, got {len(plan.metrics)}")
        net.n_ops = len(plan.ops)
        net.ops = <Op *> calloc(net.n_ops, sizeof(Op))
        if net.ops == NULL:
            raise MemoryError
        net.first_trained = net.n_ops
        for i, (record, rate) in enumerate(zip(plan.ops.tolist(), plan.rates.tolist())):
            op = &net.ops[i]
            op.code, op.n_in, op.n_out, op.activation, op.flat_w, op.flat_b, op.flat_moving = record
            op.source = plan.source_of(i) if op.code == TIED else -1
            net.tied |= op.source >= 0
            op.code = DENSE if op.code == TIED else op.code
            op.alpha = rate[0]
            op.drops = rate[1] > 0
            op.kept = rate[9] if op.drops else 1
            op.scale = 1 / op.kept
            op.noise, op.spread, op.epsilon, op.momentum = rate[10:14]
            op.renewal = 1 - rate[13]
            op.limit = min(int(rate[1] * 2.0**32 + 0.5), 2**32 - 1)
            op.kernel_l1, op.kernel_l2, op.bias_l1, op.bias_l2, op.activity_l1, op.activity_l2, op.max_norm = rate[2:9]
            op.min_norm, op.non_negative, op.kernel_decay, op.bias_decay = rate[14], rate[15] != 0, rate[16], rate[17]
            op.penalized = any(rate[2:6])
            net.penalized |= any(rate[2:8])
            net.constrained |= op.max_norm > 0 or op.non_negative
            if op.code == DENSE:
                op.w_rows = op.n_in
                op.w = at
                op.b = at + panels(op.n_out) * op.n_in * P
                at = op.b + panels(op.n_out) * P
                op.by_rows = by_rows(op.n_in, op.n_out, capacity)
                op.single = op.by_rows and op.n_out == 1
                op.by_blocks = by_blocks(op.n_in, op.n_out, capacity, i == 0)  # the first: if it gets bytes
                op.by_slabs = by_slabs(op.n_in, op.n_out, capacity)
                if op.by_slabs:
                    op.slab = net.slab_size
                    net.slab_size += panels(op.n_out) * (op.n_in + 1) * P
                self.macs += op.n_in * op.n_out
            if is_norm(op):
                op.w_rows = op.flat_w >= 0
                op.moving_jump = panels(op.n_out) * P
                op.w, op.b, op.moving = at, at + op.moving_jump, at + 2 * op.moving_jump
                at = op.moving + (2 * op.moving_jump if op.code == BATCH_NORM else 0)
            if op.code == DENSE or is_norm(op):
                net.first_trained = min(net.first_trained, i)
        net.rows_together = ROWS_TOGETHER
        for i in range(net.n_ops):  # where gradients are split by who makes them, or blocks are what the loss is taken of
            if net.ops[i].by_blocks and (capacity >= LEAST_ROWS or i == net.n_ops - 1):
                net.rows_together = P
        net.packed = at
        net.n_params, net.whole_gradient = plan.n_params, plan.whole_gradient
        net.clip_value, net.clip_global = plan.clip[0], plan.clip[2] > 0
        net.clip_norm = max(plan.clip[1], plan.clip[2])
        net.n_slots = plan.n_slots
        net.loss, net.optimizer, net.output_activation = plan.loss, plan.optimizer, plan.output_activation
        net.loss_parameter = plan.loss_parameter
        net.n_metrics = len(plan.metrics)
        for i in range(net.n_metrics):
            net.metrics[i] = plan.metrics[i]
        for i in range(len(plan.hyper)):
            net.hyper[i] = plan.hyper[i]
        net.threshold, net.input_scale, net.target_scale = plan.threshold, plan.input_scale, plan.target_scale
        net.capacity, net.threads = capacity, threads
        one = (net.packed * sizeof(real) + 63) & ~(<size_t> 63)
        size = (1 + net.n_slots) * one
        self.parameters = <char *> aligned(size)
        net.scratch_bytes = lay_out(net, NULL)
        net.scratch = <char *> aligned(net.scratch_bytes)
        if self.parameters == NULL or net.scratch == NULL:
            raise MemoryError(f"no memory for {net.scratch_bytes + size} bytes of parameters and scratch")
        lay_out(net, net.scratch)
        net.w = <real *> self.parameters
        for i in range(net.n_slots):
            net.slot[i] = <real *> (self.parameters + (1 + i) * one)
        for i in range(net.n_ops):
            if is_norm(&net.ops[i]):  # a gamma that is not there is 1
                fill(net.w + net.ops[i].w, net.ops[i].moving_jump, 1)

    def __dealloc__(self):
        free(self.net.ops)
        free(self.net.scratch)
        free(self.parameters)

    @property
    def scratch_bytes(self):
        """Bytes of scratch: they depend on the plan and the batch, not on the rows of a call."""
        return self.net.scratch_bytes

    cdef void transfer(self, uintptr_t params, uintptr_t state, long n_params, bint pack):
        cdef Transfer t = Transfer(&self.net, <real *> params, <real *> state, n_params, pack)
        cdef long threads = smaller(self.net.threads, 1 + (1 + self.net.n_slots) * n_params // NUMBERS_EACH)
        with nogil:
            self.run(transfer_task, &t, threads)

    @property
    def looks_ahead(self):
        """Whether training makes the next batch's first product with an update: see lookahead.pxi."""
        return may_look_ahead(&self.net)

    def load(self, uintptr_t params, uintptr_t state, long n_params):
        self.transfer(params, state, n_params, True)
        with nogil:
            refresh_tied(&self.net, 0, 1)

    def store(self, uintptr_t params, uintptr_t state, long n_params):
        self.transfer(params, state, n_params, False)

    def retune(self, list kernel_l2):
        cdef long i
        for i in range(self.net.n_ops):
            self.net.ops[i].kernel_l2 = kernel_l2[i]

    def poison(self, int byte):
        memset(self.net.scratch, byte, self.net.scratch_bytes)

    cdef long worth(self, long m, long passes):
        """Threads for batches of m rows that go through every weight `passes` times. A few rows cost what many do:
        the weights have to be read."""
        cdef long work = passes * max(m, 4) * self.macs
        return max(1, min(self.net.threads, 1 + work // WORTH_A_THREAD))

    cdef void go(self, pool_task task, Call *call, long threads, bint training=False):
        cdef Op *first = &self.net.ops[0]
        cdef long i
        call.net = &self.net
        if first.x_parts != NULL:
            first.by_blocks = by_blocks(first.n_in, first.n_out, self.net.capacity, call.data.x8 != NULL)
        first.thin = first.by_blocks and call.data.x8 != NULL
        first.own_parts = own_parts(first) if training and threads <= OWN_BATCH else 0
        self.net.looks_ahead = call.n_batches > 1 and may_look_ahead(&self.net)
        choose_loss(&self.net, &call.data, training, threads)
        for i in range(self.net.n_ops - 1):
            self.net.ops[i].feeds = blocks_now(&self.net.ops[i + 1], call.rows, training)
        memset(&self.net.barrier, 0, sizeof(barrier_t))
        memset(self.net.shares, 0, self.net.threads * sizeof(share_t))
        with nogil:
            self.run(task, call, threads)

    def threads_for(self, long batch):
        """How many threads train on batches of so many rows."""
        return self.worth(batch, 3)

    def train(self, tuple data, long rows, long batch, uintptr_t rates, long n_batches, uint64_t seed, uint64_t step,
              uintptr_t sums, uintptr_t outputs):
        cdef Call call
        memset(&call, 0, sizeof(call))
        call.data = unpack_data(data)
        call.rows, call.batch, call.n_batches = rows, batch, n_batches
        call.rates = <const double *> rates
        call.seed, call.step = seed, step
        call.sums = <double *> sums
        call.out = <real *> outputs
        call.gradient = self.net.gradient if self.net.whole_gradient else NULL
        self.go(train_task, &call, self.threads_for(min(rows, batch)), True)
        return call.done

    def loss_grad(self, tuple data, long rows, uint64_t seed, uint64_t step, uintptr_t gradient, uintptr_t sums):
        cdef Call call
        memset(&call, 0, sizeof(call))
        call.data = unpack_data(data)
        call.rows = rows
        call.seed, call.step = seed, step
        call.gradient = <real *> gradient
        call.sums = <double *> sums
        self.go(loss_grad_task, &call, self.worth(rows, 3), True)

    def update(self, uintptr_t gradient, double rate, long step):
        cdef Update update = prepare_update(&self.net, rate, step + 1)
        cdef fp_state old
        with nogil:
            old = flush_denormals()
            update_from(&self.net, &update, <const real *> gradient, 0, 1)
            constrain(&self.net, 0, 1)
            refresh_tied(&self.net, 0, 1)
            restore_denormals(old)

    def evaluate(self, tuple data, long rows, uintptr_t sums):
        cdef Call call
        memset(&call, 0, sizeof(call))
        call.data = unpack_data(data)
        call.rows, call.batch = rows, self.net.capacity
        call.sums = <double *> sums
        self.go(evaluate_task, &call, self.worth(min(rows, call.batch), 1))

    def forward(self, tuple data, long rows, long first, long last, uintptr_t out):
        cdef Call call
        memset(&call, 0, sizeof(call))
        call.data = unpack_data(data)
        call.rows, call.batch = rows, self.net.capacity
        call.first, call.last = first, last
        call.out = <real *> out
        self.go(forward_task, &call, self.worth(min(rows, call.batch), 1))
        return not call.not_finite


cdef Data unpack_data(tuple data):
    cdef Data d
    cdef uintptr_t x8, xr, labels, t8, tr, weights, order
    x8, xr, labels, t8, tr, weights, order = data
    d.x8, d.xr = <const uint8_t *> x8, <const real *> xr
    d.labels, d.t8, d.tr = <const int32_t *> labels, <const uint8_t *> t8, <const real *> tr
    d.weights, d.order = <const real *> weights, <const int64_t *> order
    return d


include "quantize.pxi"
include "probes.pxi"
