/* ARM MPS2 with AN386 (Cortex-M4). */
#include "qd_mps2.h"
