/* qd_clip.h: out = min(max(in, lo), hi), where it could not be folded into the clamp of a dense
 * layer.
 *
 * One kernel per container width x of the codes; input and output share their format.
 * pre: lo <= hi; in and out, n codes each, do not overlap.
 */
#ifndef QD_CLIP_H
#define QD_CLIP_H

#include <stdint.h>

#include "qd_fixed.h"

/* The head of the kernel for codes of x bits. */
#define QD_CLIP_KERNEL(x) QD_CLIP_KERNEL_EXPANDED(x)
#define QD_CLIP_KERNEL_EXPANDED(x)                                              \
    void QD_NAME(_clip_x##x)(uint32_t n, int##x##_t lo, int##x##_t hi,          \
                             const int##x##_t *in, int##x##_t *out)

#endif
