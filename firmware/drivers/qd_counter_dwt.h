/* qd_counter_dwt.h: the cycle counter of the data watchpoint unit, on ARMv7-M and later. */
#ifndef QD_COUNTER_DWT_H
#define QD_COUNTER_DWT_H

#include "qd_register.h"

#define QD_DWT_CTRL 0xE0001000u
#define QD_DWT_CYCCNT 0xE0001004u
#define QD_DEMCR 0xE000EDFCu

static inline void qd_dwt_init(void)
{
    qd_set_bits(QD_DEMCR, 1u << 24); /* TRCENA: the unit is clocked */
    qd_set_bits(QD_DWT_CTRL, 1u);    /* CYCCNTENA */
}

static inline void qd_dwt_begin(void)
{
    qd_put(QD_DWT_CYCCNT, 0u);
}

/* 2^32 cycles are half a minute at 168 MHz: no inference the host waits for is longer. */
static inline uint32_t qd_dwt_end(void)
{
    return qd_get(QD_DWT_CYCCNT);
}

#endif
