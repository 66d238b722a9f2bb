# What the engine knows of a network: the plan's records with their places in the packed layout.
#
# Every matrix M (rows x columns) is stored in panels of P columns, [columns / P][rows][P]; the last panel is padded,
# and what stands in the padding never reaches a real column. Parameters and optimiser state stay packed for the whole
# fit. The panels of a batch all have `ld` rows, as many as the largest batch or some more.

from libc.math cimport isfinite, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef extern from "tile.h" nogil:
    ctypedef double real  # float or double: the header decides, and this keeps conversions from Python exact
    enum: P
    enum: LANES
    enum: ROWS_TOGETHER
    void tiles_natural(long rows, int nv, long kc, const real *a, long step, long jump, const real *b, real *c,
                       int accumulate)
    void tiles_transposed(long rows, int nv, long kc, const real *a, const real *b, real *c, int accumulate)

cdef extern from "lookahead.h" nogil:
    void add_and_multiply_row(long kc, int nv, const real *x, const real *s, const real *y, real *w, real *z,
                              int accumulate)

cdef extern from "transpose.h" nogil:
    void transpose_square(const real *a, long a_step, long rows, long b_step, real *b, long keep)

cdef extern from "parts.h" nogil:
    ctypedef uint16_t part_t
    enum: PART
    enum: PARTS_BLOCK
    bint MATRIX_UNIT
    void split_left(const real *a, long step, long rows, long wide, part_t *out)
    void split_right(const real *b, long step, long rows, long wide, part_t *out)
    void split_bytes(const uint8_t *row, long width, part_t *out)
    void join_bytes(const part_t *in_, real scale, real *out)
    void turn_block(const part_t *in_, int parts, part_t *out)
    bint multiply_blocks(long rows, long columns, bint thin, long depth, const part_t *a, const part_t *b, real scale,
                         real *out, long step, bint add)
    void matrix_unit_on()
    void matrix_unit_off()

cdef extern from "jobs.h" nogil:
    ctypedef struct share_t:
        pass
    void next_phase(share_t *shares, long id)
    bint take_jobs(share_t *shares, long jobs, long piece, long least, long id, long n, long *low, long *high)

cdef extern from "gather.h" nogil:
    void fetch(const char *row, long bytes)
    void copy_part(real *out, const real *in_, long columns)
    void scatter_bytes(const uint8_t *row, real scale, long width, long jump, real *out)
    void scatter_numbers(const real *row, long width, long jump, real *out)
    bint all_finite(const real *x, long n)
    bint quantize_numbers(const real *x, long n, real scale, uint8_t *out)

cdef extern from "single.h" nogil:
    void gather_column(const real *column, long n, real *out)
    void dot_rows(const real *x, long step, long jump, long rows, long n, const real *w, real *y)
    void weigh_rows(const real *x, const real *dz, long rows, real *out)

cdef extern from "elementary.h" nogil:
    real exp_(real x)
    real log_(real x)
    real sqrt_(real x)
    real abs_(real x)
    real tanh_(real x)
    real sigmoid(real x)
    real softplus(real x)
    real log1p_unit(real x)
    real normal_cdf(real x)
    real normal_pdf(real x)
    void adam_vector(real *w, real *m, real *v, const real *g, real rate, real c1, real c2, real epsilon)
    void rmsprop_vector(real *w, real *v, const real *g, real rate, real c1, real c2, real epsilon)
    void adagrad_vector(real *w, real *v, const real *g, real rate, real epsilon)
    void adamax_vector(real *w, real *m, real *u, const real *g, real rate, real c1, real c2, real epsilon)
    void nadam_vector(real *w, real *m, real *v, const real *g, real rate, real ahead, real c1, real c2, real epsilon)
    uint32_t dropout_hash(uint32_t element, uint32_t first, uint32_t second)
    uint64_t splitmix64(uint64_t x)
    ctypedef int fp_state
    fp_state flush_denormals()
    void restore_denormals(fp_state old)

cdef extern from "normalization.h" nogil:
    void column_moments(const real *x, long m, real *mean, real *variance)
    void scale_columns(const real *x, long rows, const real *mean, const real *factor, const real *offset, real *y)
    void column_slopes(const real *dz, const real *x, long m, const real *mean, double *products, double *sums)
    void column_gradient(const real *dz, const real *x, long rows, const real *mean, const real *shift,
                         const real *slope, const real *factor, real *dx)
    void row_moments(const real *x, long jump, long n, real epsilon, real *mean, real *factor)
    void scale_row(const real *x, long jump, long n, real mean, real factor, const real *gamma, const real *beta,
                   real *y)
    void row_gradient(const real *dz, const real *x, long jump, long n, real mean, real factor, const real *gamma,
                      real *dx)
    void row_slopes(const real *dz, const real *x, long m, const real *mean, const real *factor, double *products,
                    double *sums)

cdef extern from "noise.h" nogil:
    real normal_noise(uint32_t element, uint32_t first, uint32_t second)

cdef extern from "pool.h" nogil:
    ctypedef struct barrier_t:
        pass
    void barrier_wait(barrier_t *b, long id, long n)
    ctypedef void (*pool_task)(void *argument, long id, long n) noexcept nogil

cdef extern from * nogil:
    """
    #include <stdlib.h>
    #include <sys/mman.h>
    /* Zeroed memory. A large piece asks for large pages: with small ones the optimiser's sweep over parameters and
       state would miss the address cache at every block. */
    static void *aligned(size_t bytes) {
        const size_t large = (size_t)2 << 20, page = bytes < large ? 4096 : large;
        void *p = NULL;
        bytes = (bytes + page - 1) & ~(page - 1);
        if (posix_memalign(&p, page, bytes ? bytes : page)) return NULL;
    #if defined(MADV_HUGEPAGE)
        if (page == large) madvise(p, bytes, MADV_HUGEPAGE);
    #endif
        memset(p, 0, bytes);
        return p;
    }
    """
    void *aligned(size_t bytes)

ctypedef void (*pool_run_t)(pool_task task, void *argument, long n) noexcept nogil

cdef enum:  # codes of kernels/plan.py, activations.py, losses.py, optimizers.py
    DENSE = 0, TIED = 2, BATCH_NORM = 3, LAYER_NORM = 4
    LINEAR = 0, RELU = 1, LEAKY_RELU = 2, ELU = 3, GELU = 4, SILU = 5, TANH = 6, SIGMOID = 7, SOFTPLUS = 8, SOFTMAX = 9
    EXPONENTIAL = 10
    MSE = 0, MAE = 1, BINARY = 2, CATEGORICAL = 3, SPARSE = 4, HUBER = 5, LOG_COSH = 6, POISSON = 7, KL_DIVERGENCE = 8
    HINGE = 9, SQUARED_HINGE = 10, CATEGORICAL_HINGE = 11, COSINE = 12
    CATEGORICAL_ACCURACY = 0, BINARY_ACCURACY = 1, METRIC_MAE = 2, METRIC_MSE = 3
    SGD = 0, MOMENTUM = 1, ADAM = 2, RMSPROP = 3, ADAGRAD = 4, ADAMAX = 5, NADAM = 6, LION = 7
    MAX_SLOTS = 2
    MAX_METRICS = 8
    OWN_BATCH = 4        # see own_batch
    OWN_PARTS = 3 << 21  # see own_parts
    BY_ROWS = 1 << 15    # see by_rows
    ROWS_EACH = 64       # see in_columns
    LEAST_ROWS = 64      # of a batch for which it pays to split the weights for the matrix unit,
    LEAST_BYTES = 32     # and if the inputs are bytes
    MANY_COLUMNS = 96    # of a layer for which it pays to split its inputs for nothing but its outputs
    SLABS = 4            # see slabs.pxi
    NORM_BLOCK = 8192    # squares that are summed at a time: always the same, so that threads do not matter

cdef struct Op:
    int code
    int activation
    long n_in
    long n_out
    long flat_w       # offsets in the flat vector; -1 where there is none
    long flat_b
    long flat_moving
    long w_rows       # rows of W: n_in, 1 of a gamma, or 0 where there is none
    long w            # offsets in the packed vector: W [n_out / P][w_rows][P], b [n_out / P][P]
    long b
    long moving       # moving means and variances [2][n_out / P][P]
    long moving_jump  # how far these two are apart
    bint by_rows      # see by_rows
    bint single       # whether it is by_rows and has one output: see single.h
    bint by_blocks    # see by_blocks
    bint by_slabs     # see slabs.pxi
    long slab         # offset of its part of a slab
    int source        # the operation whose W is the transpose of this one's, which is a copy; or -1
    real alpha
    int drops         # whether there is dropout
    real kept         # what dropout divides by
    real scale        # 1 / kept
    real noise        # standard deviation of what is added to the output
    real spread       # and of what it is multiplied by
    uint32_t limit    # a hash below it is dropped
    uint32_t key[2]   # of this step
    bint penalized    # whether there is a penalty on the kernel or the bias
    real kernel_l1
    real kernel_l2
    real bias_l1
    real bias_l2
    real activity_l1
    real activity_l2
    real slope_l1     # the last two by the rows of this step
    real slope_l2
    real min_norm     # with the next one: what norms of columns are cut to
    real max_norm     # or 0
    bint non_negative
    double kernel_decay
    double bias_decay
    real epsilon      # of a normalisation
    real momentum     # what is kept of its moving statistics
    real renewal      # 1 - momentum
    real *statistics  # over the batch: mean, variance, gradients of gamma and beta [4][n_out / P][P]; over the layer:
                      # mean of each row, and one over its standard deviation [2][ld]
    long first_panel  # of the kernel, in net.penalty
    long ld           # rows of a panel of y, z, dz, and of the input
    real *y           # output of the operation [n_out / P][ld][P]
    real *z           # what the derivative needs and y does not tell: the pre-activation, or softmax before dropout
    real *dz          # gradient by z, laid out as y
    real *dzt         # its transpose [ld / P][n_out rounded up to P][P], for input_gradient; or NULL
    bint feeds        # whether, in this call, the operation above computes by blocks
    bint thin         # whether, in this call, its inputs are bytes, and one part is all of them: see parts.h
    long own_parts    # how far, in this call, the threads' copies of x_parts and of xt_parts are apart; 0: there is one
    long row_blocks   # of the largest batch
    part_t *x_parts   # where by_blocks, the inputs and gradients in parts: see parts.pxi
    part_t *xt_parts
    part_t *dz_parts
    part_t *dzt_parts

cdef struct Update:   # one optimiser step, rounded to real
    int code
    int nesterov
    double plain      # the learning rate as it was given, for decay
    real rate
    real ahead        # Nadam: the rate of the gradient itself
    real c1
    real c2
    real epsilon
    real clip         # largest size of an element of the gradient; 0: any

cdef struct Data:     # what a call was given
    const uint8_t *x8     # one of these two
    const real *xr
    const int32_t *labels  # one of these three, or none
    const uint8_t *t8
    const real *tr
    const real *weights    # or NULL
    const int64_t *order   # or NULL: rows in order

cdef struct Net:
    long n_ops
    long first_trained    # no gradient by the input is needed at or before this operation
    long n_slots
    long packed           # length of the packed parameter vector
    int loss
    int optimizer
    int output_activation
    int n_metrics
    int metrics[MAX_METRICS]
    real loss_parameter
    real threshold
    real input_scale
    real target_scale
    double hyper[8]
    double clip_value     # 0: none, like the next two
    double clip_norm
    bint clip_global      # whether clip_norm is about the norm of all
    bint whole_gradient   # whether an update needs all of the gradient first
    bint penalized        # whether any operation is, or has a penalty on its outputs
    bint constrained
    bint tied             # whether any operation has a source
    long n_params
    long capacity         # rows of a batch
    long rows_together    # see ROWS_TOGETHER
    long ld               # rows of a panel
    long threads
    Op *ops
    real *w               # packed parameters, then the slots
    real *slot[MAX_SLOTS]
    char *scratch
    size_t scratch_bytes
    real *x               # the gathered batch [n_in / P][ld][P], a copy for each thread where own_batch(n)
    long x_size           # how far the copies are apart
    bint looks_ahead      # whether, in this call, the first operation does, see lookahead.pxi; then, for every thread,
    real *following       # the next batch [n_in / P][ld][P],
    real *product         # and the first operation's product of it [n_out / P][FEW][P]
    real *t               # the gathered targets [n_out / P][ld][P]
    real *w_turned        # for every thread a panel of a W', see input_gradient_rows, or W of one output
    long w_turned_size
    part_t *w_parts       # for every thread a row or a column of W's blocks in parts
    long w_parts_size
    real *dxt             # transposed input gradient where the operation below keeps no dzt
    int32_t *label
    real *row_weight
    double *row_loss
    double *row_metric    # [n_metrics][capacity]
    real *turned          # for every thread what `losses_of` needs
    bint loss_in_columns  # whether, in this call, who computes outputs goes on to their loss: see loss_panel
    bint reproduces       # whether, in this call, the targets are the inputs, and every thread has them
    bint weighted         # whether, in this call, rows have weights
    double *part_loss     # [n_out / P][rows / rows_together], where loss_in_columns
    double *penalty       # see sum_penalties
    real *gradient        # (n_params,), where whole_gradient
    double *squares       # see square_sums
    real *tied_gradient   # gradients of the copies, whose flat_w counts from here
    real *slabs           # gradients by slabs [SLABS][slab_size], see slabs.pxi
    long slab_size        # 0 where no operation has any
    share_t *shares       # for every thread: see jobs.h
    barrier_t barrier


cdef inline long blocks(long n, long size) noexcept nogil:
    """How many blocks of `size` cover n."""
    return (n + size - 1) // size


cdef inline long panels(long n) noexcept nogil:
    return blocks(n, P)


cdef inline long smaller(long a, long b) noexcept nogil:
    return a if a < b else b


cdef inline long share(long jobs, long id, long n) noexcept nogil:
    """Where thread id's share of `jobs` begins."""
    return jobs * id // n


cdef inline long row_share(const Net *net, long m, long id, long n) noexcept nogil:
    """Where thread id's share of the rows of a batch begins."""
    return smaller(m, share(blocks(m, net.rows_together), id, n) * net.rows_together)


cdef inline bint by_rows(long n_in, long n_out, long batch) noexcept nogil:
    """Whether threads share a layer's rows and not its columns. Then each needs all of W and W', so these must be few,
    but only its own rows of everything else: a run of such layers goes up, and down again, without a barrier."""
    return n_in * n_out <= BY_ROWS and n_in * n_out <= batch * (n_in + n_out)


cdef inline bint by_slabs(long n_in, long n_out, long batch) noexcept nogil:
    """Whether it costs threads less to exchange gradients of a layer by rows than its rows themselves."""
    return by_rows(n_in, n_out, batch) and SLABS * n_in * n_out <= batch * (n_in + n_out)


cdef inline bint by_blocks(long n_in, long n_out, long batch, bint bytes_) noexcept nogil:
    """Whether a layer's products are made on the matrix unit: if a fourth more for padding is enough. `bytes_`: whether
    its inputs are bytes."""
    return (MATRIX_UNIT and batch >= (LEAST_BYTES if bytes_ else LEAST_ROWS) and not by_rows(n_in, n_out, batch)
            and 4 * panels(n_in) * P * panels(n_out) * P <= 5 * n_in * n_out)


cdef inline bint blocks_now(const Op *op, long m, bint training) noexcept nogil:
    """Whether an operation computes a batch of m rows by blocks. In training it does so with all of a fit, in inference
    the matrix unit is not for a few rows, nor, unless they are bytes, for inputs that few columns need."""
    return op.by_blocks and (training or (m >= LEAST_ROWS and (op.thin or op.n_out >= MANY_COLUMNS)))


cdef inline bint in_columns(const Op *op, long m, bint training, long n) noexcept nogil:
    """Whether n threads share the columns of an operation in a batch of m. Where weights do not change, they can all
    stay in every cache, and each thread goes its own way with its rows if it has some for every weight it reads."""
    return op.code == DENSE and not op.by_rows and (training or m < n * ROWS_EACH)


cdef inline bint own_batch(const Op *first, long m, bint training, long n) noexcept nogil:
    """Whether each of n threads gathers the whole batch for itself: while they are few, that is quicker than to fetch
    the others' part from their caches, and than to wait for it."""
    if blocks_now(first, m, training):
        return first.own_parts > 0
    return n <= OWN_BATCH and in_columns(first, m, training, n)


cdef inline long own_parts(const Op *first) noexcept nogil:
    """How far copies of the inputs' parts are apart, if each thread has its own in training: as own_batch. Who writes
    what another has read would wait for that cache as well. Where they are too large to stay there, 0: there is one."""
    cdef long size = first.row_blocks * panels(first.n_in) * PARTS_BLOCK
    return size if first.by_blocks and size <= OWN_PARTS else 0


cdef inline long panel_rows(long m) noexcept nogil:
    """How many rows a panel gets for a batch of m: an odd number of tiles of eight, so that a few rows of neighbouring
    panels, which a tile reads together, are not all sent to the same places of the first-level cache."""
    return m if m <= 8 else (blocks(m, 8) | 1) * 8


cdef inline int vectors(long columns_left) noexcept nogil:
    """How many of a panel's two vectors hold real columns."""
    return 2 if columns_left > LANES else 1


cdef inline bint needs_z(const Op *op) noexcept nogil:
    """Whether the derivative takes more than y. Dropped elements of a softmax still take part in its row."""
    return (op.activation == GELU or op.activation == SILU or op.activation == SOFTPLUS
            or (op.activation == SOFTMAX and op.drops))
