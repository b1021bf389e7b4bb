/* qd_fixed.h: from an accumulator to a code, by one rounding shift and one clamp.
 *
 * Rounding exists here and nowhere else in the runtime. Its twin is round_shift() of the Python
 * package qdeploy.fixedpoint; the two are tested against each other bit for bit.
 *
 * Every function is total: for any accumulator, any shift and any clamp the result is the one
 * the mathematics defines, and no intermediate value overflows.
 */
#ifndef QD_FIXED_H
#define QD_FIXED_H

#include <stdint.h>

/* A condition the compiler must find true, in C99 as well. */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define QD_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#elif defined(__GNUC__)
#define QD_STATIC_ASSERT(condition, message) __extension__ _Static_assert(condition, message)
#else
#define QD_STATIC_ASSERT(condition, message) \
    extern const char qd_static_assertion[(condition) ? 1 : -1]
#endif

QD_STATIC_ASSERT((-3 >> 1) == -2, "qd needs >> of a negative integer to round down");

/* How a number of steps becomes an integer. */
#define QD_ROUND_NEAREST 0 /* floor(v + 1/2), ties towards +infinity */
#define QD_ROUND_FLOOR 1   /* the largest integer <= v */
#define QD_ROUND_TRUNC 2   /* towards zero */

/* How an accumulator becomes a code: clip(round(acc * 2^-shift), lo, hi). */
typedef struct {
    int32_t lo;       /* lo <= hi */
    int32_t hi;
    int16_t shift;    /* any; below zero it multiplies by 2^-shift */
    uint8_t rounding; /* QD_ROUND_... */
} qd_requant;

/* intN_t of a width that is itself a macro. */
#define QD_INT(bits) QD_INT_EXPANDED(bits)
#define QD_INT_EXPANDED(bits) int##bits##_t

/* acc * 2^-shift rounded, for an accumulator of 32 bits.
 * pre:  shift >= 0
 * post: the distance to acc * 2^-shift is at most 1/2 (nearest) or below 1 (floor, trunc)
 *
 * nearest: bit shift-1 of acc says whether the part dropped is 1/2 or more. For shift >= 1,
 *          |acc >> shift| <= 2^30, so adding that bit cannot overflow; acc + 2^(shift-1) could.
 * trunc:   a negative acc that loses any bit is one step above its floor.
 * shift >= 32 leaves -1/2 <= acc * 2^-shift < 1/2: nearest and trunc give 0. */
static inline int32_t qd_round_shift_32(int32_t acc, int16_t shift, uint8_t rounding)
{
    if (shift == 0) {
        return acc;
    }
    if (shift >= 32) {
        return (rounding == QD_ROUND_FLOOR && acc < 0) ? -1 : 0;
    }
    const int32_t below = acc >> shift;
    if (rounding == QD_ROUND_NEAREST) {
        return below + ((acc >> (shift - 1)) & 1);
    }
    const uint32_t dropped = (uint32_t)acc & (((uint32_t)1 << shift) - 1u);
    return (rounding == QD_ROUND_TRUNC && acc < 0 && dropped != 0u) ? below + 1 : below;
}

/* The same for an accumulator of 64 bits. */
static inline int64_t qd_round_shift_64(int64_t acc, int16_t shift, uint8_t rounding)
{
    if (shift == 0) {
        return acc;
    }
    if (shift >= 64) {
        return (rounding == QD_ROUND_FLOOR && acc < 0) ? -1 : 0;
    }
    const int64_t below = acc >> shift;
    if (rounding == QD_ROUND_NEAREST) {
        return below + ((acc >> (shift - 1)) & 1);
    }
    const uint64_t dropped = (uint64_t)acc & (((uint64_t)1 << shift) - 1u);
    return (rounding == QD_ROUND_TRUNC && acc < 0 && dropped != 0u) ? below + 1 : below;
}

/* clip(value, INT32_MIN, INT32_MAX). A later clamp, or a multiple that is then clamped, comes out
 * as it would have without: every clamp lies within these ends. */
static inline int32_t qd_narrow(int64_t value)
{
    if (value < INT32_MIN) {
        return INT32_MIN;
    }
    return value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* clip(rounded, lo, hi). */
static inline int32_t qd_clamp(int32_t rounded, const qd_requant *to)
{
    if (rounded < to->lo) {
        return to->lo;
    }
    return rounded > to->hi ? to->hi : rounded;
}

/* clip(acc * 2^left, lo, hi), compared before anything is shifted so that nothing overflows.
 * pre: left >= 0
 *
 * acc * 2^left > hi  exactly if  acc > floor(hi / 2^left), which is hi >> left;
 * acc <= floor(lo / 2^left) gives acc * 2^left <= lo.
 * For left >= 31 both floors are 0 or -1, as they are for 31, and only acc = 0 gets through. */
static inline int32_t qd_scale_up(int32_t acc, int left, const qd_requant *to)
{
    const int by = left < 31 ? left : 31;
    if (acc <= (to->lo >> by)) {
        return to->lo;
    }
    if (acc > (to->hi >> by)) {
        return to->hi;
    }
    return by == 31 ? 0 : acc * ((int32_t)1 << by); /* lo < acc * 2^by <= hi */
}

/* clip(round(acc * 2^-shift), lo, hi), for each width of accumulator. */
static inline int32_t qd_requantize_32(int32_t acc, const qd_requant *to)
{
    if (to->shift < 0) {
        return qd_scale_up(acc, -to->shift, to);
    }
    return qd_clamp(qd_round_shift_32(acc, to->shift, to->rounding), to);
}

static inline int32_t qd_requantize_64(int64_t acc, const qd_requant *to)
{
    if (to->shift < 0) {
        return qd_scale_up(qd_narrow(acc), -to->shift, to);
    }
    return qd_clamp(qd_narrow(qd_round_shift_64(acc, to->shift, to->rounding)), to);
}

#endif
