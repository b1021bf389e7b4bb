/* qd_relu_x16: the kernel of qd_relu_kernel.h for the containers below. */
#undef QD_PREFIX
#define QD_PREFIX qd
#define QD_X_BITS 16

#include "qd_relu_kernel.h"
