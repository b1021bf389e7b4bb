/* qd_clip_kernel.h: the portable clip kernel, for the container its includer chose.
 *
 * Included once per kernel, by a source file that has defined QD_X_BITS (8, 16 or 32).
 */
#include "qd_clip.h"

QD_CLIP_KERNEL(QD_X_BITS);

QD_CLIP_KERNEL(QD_X_BITS)
{
    for (uint32_t i = 0; i < n; i++) {
        const QD_INT(QD_X_BITS) above = in[i] < lo ? lo : in[i];
        out[i] = above > hi ? hi : above;
    }
}

#undef QD_X_BITS
