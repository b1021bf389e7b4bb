/* qd_dense.h: the dense layer, out = clip(round((weight * in + bias) * 2^-shift), lo, hi).
 *
 * One kernel per combination of containers, named after their widths in bits: weight, in (x),
 * out (y) and accumulator. A library carries the combinations its model uses.
 *
 * pre, for every kernel:
 *   - |bias[i]| + sum over j of |weight[i][j] * in[j]| < 2^(acc - 1) for every row i and every
 *     input that can occur: the generator has proven it and prints the bound beside the tables.
 *     No order of summation can then overflow, so a faster kernel may choose its own;
 *   - lo and hi fit the container of `out`;
 *   - in, out and the tables do not overlap.
 * No state, no alignment beyond that of the element types, no read past the end of a table.
 */
#ifndef QD_DENSE_H
#define QD_DENSE_H

#include <stdint.h>

#include "qd_fixed.h"

/* Orders a weight table can have; the generated tables say which one they were written in.
 * ROWS: weight[i * n_in + j] leads from input j to output i, no padding. */
#define QD_PACKING_ROWS 1

/* The order every kernel declared here reads. */
#define QD_DENSE_PACKING QD_PACKING_ROWS

typedef struct {
    uint16_t n_in;
    uint16_t n_out;
    qd_requant to; /* from accumulator to output code */
} qd_dense_layer;

/* The head of the kernel for these four widths: weight, in, out, accumulator. */
#define QD_DENSE_KERNEL(w, x, y, a) QD_DENSE_KERNEL_EXPANDED(w, x, y, a)
#define QD_DENSE_KERNEL_EXPANDED(w, x, y, a)                                    \
    void qd_dense_w##w##_x##x##_y##y##_a##a(                                    \
        const qd_dense_layer *layer,                                            \
        const int##w##_t *weight, /* n_out * n_in codes, in QD_DENSE_PACKING */ \
        const int##a##_t *bias,   /* n_out codes at the accumulator's scale */  \
        const int##x##_t *in,     /* n_in codes */                              \
        int##y##_t *out)          /* n_out codes */

#define QD_REQUANTIZE(a) QD_REQUANTIZE_EXPANDED(a)
#define QD_REQUANTIZE_EXPANDED(a) qd_requantize_##a

#endif
