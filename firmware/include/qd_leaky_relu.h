/* qd_leaky_relu.h: out = in where in >= 0, else clip(round(in * slope * 2^-shift), lo, hi).
 *
 * One kernel per container width x of the codes and accumulator width a; input and output share
 * their format.
 *
 * pre, for every kernel:
 *   - |in[i] * slope| < 2^(a - 1) for every code and slope: the generator has proven it and prints
 *     the bound beside the slopes;
 *   - lo and hi, the ends of the output format, fit the container of `out`;
 *   - in, out and the slopes do not overlap.
 */
#ifndef QD_LEAKY_RELU_H
#define QD_LEAKY_RELU_H

#include <stdint.h>

#include "qd_fixed.h"

typedef struct {
    uint16_t n;      /* codes */
    uint16_t stride; /* 1: a slope for each code; 0: one for all */
    qd_requant to;   /* from product to output code; shift is the slopes' fraction bits */
} qd_leaky_relu_layer;

/* The head of the kernel for these two widths: codes, accumulator. */
#define QD_LEAKY_RELU_KERNEL(x, a) QD_LEAKY_RELU_KERNEL_EXPANDED(x, a)
#define QD_LEAKY_RELU_KERNEL_EXPANDED(x, a)   \
    void QD_NAME(_leaky_relu_x##x##_a##a)(    \
        const qd_leaky_relu_layer *layer,     \
        const int16_t *slope, /* one, or n */ \
        const int##x##_t *in, /* n codes */   \
        int##x##_t *out)      /* n codes */

#endif
