/* ARM MPS2 with AN500 (Cortex-M7). */
#include "qd_mps2.h"
