/* qd_dense_w8_x16_y16_a32: the kernel of qd_dense_kernel.h for the containers below. */
#undef QD_PREFIX
#define QD_PREFIX qd
#define QD_W_BITS 8
#define QD_X_BITS 16
#define QD_Y_BITS 16
#define QD_A_BITS 32

#include "qd_dense_kernel.h"
