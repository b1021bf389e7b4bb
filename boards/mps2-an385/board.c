/* ARM MPS2 with AN385 (Cortex-M3). */
#include "qd_mps2.h"
