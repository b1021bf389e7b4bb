/* qd_relu.h: out = max(in, 0), where it could not be folded into the clamp of a dense layer.
 *
 * One kernel per container width x of the codes; input and output share their format.
 * pre: in and out, n codes each, do not overlap.
 */
#ifndef QD_RELU_H
#define QD_RELU_H

#include <stdint.h>

#include "qd_fixed.h"

/* The head of the kernel for codes of x bits. */
#define QD_RELU_KERNEL(x) QD_RELU_KERNEL_EXPANDED(x)
#define QD_RELU_KERNEL_EXPANDED(x) \
    void QD_NAME(_relu_x##x)(uint32_t n, const int##x##_t *in, int##x##_t *out)

#endif
