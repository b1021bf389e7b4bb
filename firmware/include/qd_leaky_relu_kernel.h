/* qd_leaky_relu_kernel.h: the portable leaky ReLU kernel, for the widths its includer chose.
 *
 * Included once per kernel, by a source file that has defined QD_X_BITS (8, 16 or 32) and
 * QD_A_BITS (32 or 64). Pre- and postconditions: qd_leaky_relu.h.
 */
#include "qd_leaky_relu.h"

QD_LEAKY_RELU_KERNEL(QD_X_BITS, QD_A_BITS);

QD_LEAKY_RELU_KERNEL(QD_X_BITS, QD_A_BITS)
{
    const uint32_t n = layer->n;

    for (uint32_t i = 0; i < n; i++) {
        if (in[i] >= 0) {
            out[i] = in[i];
        } else {
            const QD_INT(QD_A_BITS) product =
                (QD_INT(QD_A_BITS))in[i] * (QD_INT(QD_A_BITS))*slope;
            out[i] = (QD_INT(QD_X_BITS))QD_REQUANTIZE(QD_A_BITS)(product, &layer->to);
        }
        slope += layer->stride;
    }
}

#undef QD_X_BITS
#undef QD_A_BITS
