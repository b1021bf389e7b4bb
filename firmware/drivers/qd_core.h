/* qd_core.h: what every Cortex-M has beside its instructions. */
#ifndef QD_CORE_H
#define QD_CORE_H

#include "qd_register.h"

/* Application interrupt and reset control: the key, and SYSRESETREQ. */
static inline void qd_core_reset(void)
{
    __asm__ volatile("dsb" ::: "memory");
    qd_put(0xE000ED0Cu, 0x05FA0004u);
    for (;;) {
    }
}

#endif
