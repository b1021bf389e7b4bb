/* ARM MPS2 with AN505 (Cortex-M33). */
#include "qd_mps2.h"
