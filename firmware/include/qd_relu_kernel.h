/* qd_relu_kernel.h: the portable ReLU kernel, for the container its includer chose.
 *
 * Included once per kernel, by a source file that has defined QD_X_BITS (8, 16 or 32).
 */
#include "qd_relu.h"

QD_RELU_KERNEL(QD_X_BITS);

QD_RELU_KERNEL(QD_X_BITS)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = in[i] > 0 ? in[i] : 0;
    }
}

#undef QD_X_BITS
