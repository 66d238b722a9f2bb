/* Float32 products on the matrix unit of a processor (AMX), which multiplies numbers of bfloat16 and sums in float32.

   A float32 has 24 significant bits and a bfloat16 eight, so x = h + m + l, each part the nearest to what is left,
   without remainder. Of the nine products of the parts of two numbers the six that count are summed, smallest first:

       a b = ah bl + ah bm + am bm + am bh + al bh + ah bh + less than 2^-23 |a b|

   and the sum itself is rounded once for 32 products, where a chain of float32 multiply-adds rounds each: the results
   are nearer to the exact ones (Henry, Tang, Heinecke, 2019: Leveraging the bfloat16 artificial intelligence datatype
   for higher-precision computations). At 16 times the rate of multiply-adds, six products take three eighths of the
   time, and as long as these while another program uses the other thread of the core. A byte is a bfloat16 as it is: a
   left factor of bytes is `thin`, it has one part, and three products count.

   Everything is in blocks of P x P, padded with zeros. Every part of a block is two tiles of 1 KB, as the unit takes
   them: 16 rows of 16 pairs.

       left factor (rows r, summed k)          right factor (summed k, columns c)
       row r: pairs (k, k + 16), k < 16        pair row k < 16: pairs (k, k + 16) of 16 columns
       [part][r / 16][r % 16][k][2]            [part][c / 16][k][c % 16][2]

   Numbers 16 apart are paired because they come from two vector registers lane by lane, so that nothing is shuffled.
   Where a number is infinite, NaN or so large that h would be infinite, the product is NaN somewhere and has to be
   computed in float32. Numbers below 2^-110 lose their lower parts. */

#ifndef FASTNN_PARTS_H
#define FASTNN_PARTS_H

#include "tile.h"
#include "transpose.h"

typedef uint16_t part_t;
#define PART (32 * 32)       /* numbers of a part of a block */
#define PARTS_BLOCK (3 * PART)

#if MATRIX_UNIT
#include <immintrin.h>

typedef uint32_t bits __attribute__((vector_size(64), may_alias));

#define TILE 512 /* numbers of a tile */
#define UPPER ((bits){0} + 0xffff0000u)

INLINE bits load_bits(const part_t *p) { return *(const bits *)p; }
INLINE void store_bits(part_t *p, bits b) { *(bits *)p = b; }

/* Two vectors into their parts, paired lane by lane: three vectors a part apart. */
INLINE void split_pair(vec low, vec high, part_t *out) {
    ALL for (int part = 0; part < 3; part++) {
        const bits half = (bits){0} + (part < 2 ? 0x8000u : 0); /* the last part is what is left, without rounding */
        const bits a = (bits)low + half, b = (bits)high + half;
        store_bits(out + part * PART, (a >> 16) | (b & UPPER));
        low -= (vec)(a & UPPER);
        high -= (vec)(b & UPPER);
    }
}

INLINE __mmask16 lanes_below(long n) { return n >= LANES ? 0xffff : n <= 0 ? 0 : (1u << n) - 1; }

/* The first n lanes, and zeros. */
INLINE vec load_some(const real *p, long n) { return (vec)_mm512_maskz_loadu_ps(lanes_below(n), p); }

/* Shapes: a (rows, wide), at most P x P. Layout: rows of a are `step` apart, out a block of a left factor.
   Aliasing: none. */
static void split_left(const real *a, long step, long rows, long wide, part_t *out) {
    if (wide == P) {
        for (long r = 0; r < rows; r++) split_pair(load(a + r * step), load(a + r * step + LANES), out + r * P);
    } else {
        for (long r = 0; r < rows; r++)
            split_pair(load_some(a + r * step, wide), load_some(a + r * step + LANES, wide - LANES), out + r * P);
    }
    for (long r = rows; r < P; r++) split_pair((vec){0}, (vec){0}, out + r * P);
}

/* Shapes: b (rows, wide), at most P x P. Layout: rows of b are `step` apart, out a block of a right factor.
   Aliasing: none. */
static void split_right(const real *b, long step, long rows, long wide, part_t *out) {
    for (long k = 0; k < LANES; k++, b += step, out += P) {
        for (int v = 0; v < 2; v++) {
            const long left = wide - v * LANES;
            const real *low = b + v * LANES, *high = low + LANES * step;
            part_t *const to = out + v * TILE;
            if (rows == P && wide == P) split_pair(load(low), load(high), to);
            else split_pair(load_some(low, k < rows ? left : 0), load_some(high, k + LANES < rows ? left : 0), to);
        }
    }
}

/* Shapes: row (width,), at most P bytes; out: a row of a block of a thin left factor. Aliasing: none. */
INLINE void split_bytes(const uint8_t *row, long width, part_t *out) {
    const __m256i n = _mm256_maskz_loadu_epi8(width >= P ? 0xffffffffu : (1u << width) - 1, row);
    const bits low = (bits)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(n)));
    const bits high = (bits)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(n, 1)));
    store_bits(out, (low >> 16) | high);
}

/* Shapes: in a block of a thin left factor, out (P, P): its bytes times scale. Layout: a panel. Aliasing: none. */
static void join_bytes(const part_t *in, real scale, real *out) {
    for (int r = 0; r < P; r++, in += P, out += P) {
        store(out, (vec)(load_bits(in) << 16) * scale);
        store(out + LANES, (vec)(load_bits(in) & UPPER) * scale);
    }
}

/* A block of a left factor, or of a right one, into that of its transpose. Shapes: `parts` parts. Aliasing: out may be
   in. */
static void turn_block(const part_t *in, int parts, part_t *out) {
    bits pairs[2][LANES];
    for (; parts > 0; parts--, in += PART, out += PART) {
        for (int r = 0; r < LANES; r++) {
            const bits a = load_bits(in + r * P), b = load_bits(in + TILE + r * P);
            pairs[0][r] = (a & ~UPPER) | (b << 16);
            pairs[1][r] = (a >> 16) | (b & UPPER);
        }
        for (int half = 0; half < 2; half++)
            transpose_square((const real *)pairs[half], LANES, LANES, LANES, (real *)(out + half * TILE), LANES);
    }
}

/* What the unit's eight tiles are: all of full size. Between these two calls, in each thread. */
INLINE void matrix_unit_on(void) {
    static const struct {
        uint8_t palette, start, unused[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&tiles);
}
INLINE void matrix_unit_off(void) { _tile_release(); }

/* Tiles 0 to 3 are c, 4 and 5 the left factor, 6 and 7 the right one:

           6   7
        4  0   1
        5  2   3

   All here waits for the unit, and a thread that does nothing else meanwhile gets less than its half of a core that it
   shares: products then take up to half as long again. So what comes next is fetched between the products, little by
   little, a tile is loaded as soon as it is free, and instructions that do nothing follow. */
#define LOAD(tile, from)                              \
    {                                                 \
        _tile_loadd(tile, from, 64);                  \
        __asm__ volatile(".rept 8\n nop\n .endr");    \
    }
#define LEFT_0(part) LOAD(4, a + (part) * PART)
#define LEFT_1(part) if (tall) LOAD(5, a + (part) * PART + TILE)
#define RIGHT_0(part) LOAD(6, b + (part) * PART)
#define RIGHT_1(part) if (wide) LOAD(7, b + (part) * PART + TILE)
#define PRODUCT(c, left, right)                                                         \
    if ((left == 4 || tall) && (right == 6 || wide)) _tile_dpbf16ps(c, left, right);    \
    ALL for (int i = 0; i < PART / 4; i += TILE / 16) __builtin_prefetch(next + i);     \
    next += PART / 4;
/* The four products, and in their course the left or the right factor's next part. */
#define PRODUCTS_THEN_LEFT(part)                                                        \
    PRODUCT(0, 4, 6) PRODUCT(1, 4, 7) LEFT_0(part)                                      \
    PRODUCT(2, 5, 6) PRODUCT(3, 5, 7) LEFT_1(part)
#define PRODUCTS_THEN_RIGHT(part)                                                       \
    PRODUCT(0, 4, 6) PRODUCT(2, 5, 6) RIGHT_0(part)                                     \
    PRODUCT(1, 4, 7) PRODUCT(3, 5, 7) RIGHT_1(part)

/* c = a b, of one or two tiles by one or two. */
INLINE void blocks_body(const int tall, const int wide, const int thin, long depth, const part_t *a, const part_t *b,
                        real *c) {
    _tile_zero(0);
    if (wide) _tile_zero(1);
    if (tall) _tile_zero(2);
    if (tall && wide) _tile_zero(3);
    for (; depth > 0; depth--, a += thin ? PART : PARTS_BLOCK, b += PARTS_BLOCK) {
        const part_t *next = thin ? b + PARTS_BLOCK : a + PARTS_BLOCK; /* what comes next is fetched in between */
        LEFT_0(0) LEFT_1(0) RIGHT_0(2) RIGHT_1(2)
        PRODUCTS_THEN_RIGHT(1)
        if (!thin) {
            PRODUCTS_THEN_LEFT(1)
        }
        PRODUCTS_THEN_RIGHT(0)
        if (!thin) {
            next = b + PARTS_BLOCK;
            PRODUCTS_THEN_LEFT(2)
            PRODUCTS_THEN_LEFT(0)
        }
        PRODUCT(0, 4, 6) PRODUCT(1, 4, 7) PRODUCT(2, 5, 6) PRODUCT(3, 5, 7)
    }
    _tile_stored(0, c, P * sizeof(real));
    if (wide) _tile_stored(1, c + LANES, P * sizeof(real));
    if (tall) _tile_stored(2, c + LANES * P, P * sizeof(real));
    if (tall && wide) _tile_stored(3, c + LANES * P + LANES, P * sizeof(real));
}

/* c = a b, for at most P rows and columns. */
static __attribute__((noinline)) void sum_blocks(long rows, long columns, int thin, long depth, const part_t *a,
                                                 const part_t *b, real *c) {
#define BLOCKS_CASE(tall, wide)                           \
    if (thin) blocks_body(tall, wide, 1, depth, a, b, c); \
    else blocks_body(tall, wide, 0, depth, a, b, c);
    if (rows > LANES && columns > LANES) { BLOCKS_CASE(1, 1) }
    else if (rows > LANES) { BLOCKS_CASE(1, 0) }
    else if (columns > LANES) { BLOCKS_CASE(0, 1) }
    else { BLOCKS_CASE(0, 0) }
}

/* Shapes: a (rows, depth * P), b (depth * P, columns), out (rows, columns) = scale a b, or added there, with at most P
   rows and columns. Returns 0 if the sums are not finite: they may be wrong then.
   Layout: a and b blocks of parts, a thin or not; rows of out are `step` apart, and if that is P there is room for P.
   Aliasing: none. */
static int multiply_blocks(long rows, long columns, int thin, long depth, const part_t *a, const part_t *b, real scale,
                           real *out, long step, int add) {
    const __mmask16 first = lanes_below(columns), second = lanes_below(columns - LANES);
    real sums[P * P] __attribute__((aligned(64)));
    real *c = step == P && !add ? out : sums; /* in a panel of its own the sum needs no other place */
    vec low = {0}, high = {0};
    sum_blocks(rows, columns, thin, depth, a, b, c);
    for (long r = 0; r < rows; r++, c += P, out += step) {
        vec left = load_some(c, columns) * scale, right = load_some(c + LANES, columns - LANES) * scale;
        if (add) left += load_some(out, columns), right += load_some(out + LANES, columns - LANES);
        low += left * 0; /* zero, or NaN */
        high += right * 0;
        _mm512_mask_storeu_ps(out, first, (__m512)left);
        _mm512_mask_storeu_ps(out + LANES, second, (__m512)right);
    }
    low += high;
    return _mm512_cmp_ps_mask((__m512)low, (__m512)low, _CMP_UNORD_Q) == 0;
}

#else /* never called */
static void split_left(const real *a, long step, long rows, long wide, part_t *out) {}
static void split_right(const real *b, long step, long rows, long wide, part_t *out) {}
static void split_bytes(const uint8_t *row, long width, part_t *out) {}
static void join_bytes(const part_t *in, real scale, real *out) {}
static void turn_block(const part_t *in, int parts, part_t *out) {}
static int multiply_blocks(long rows, long columns, int thin, long depth, const part_t *a, const part_t *b, real scale,
                           real *out, long step, int add) { return 0; }
#define matrix_unit_on()
#define matrix_unit_off()
#endif

#endif
