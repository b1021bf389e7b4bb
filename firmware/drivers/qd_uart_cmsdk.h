/* qd_uart_cmsdk.h: the UART of ARM's Cortex-M System Design Kit, on the MPS2 boards. */
#ifndef QD_UART_CMSDK_H
#define QD_UART_CMSDK_H

#include "qd_register.h"

enum { QD_CMSDK_DATA = 0x00, QD_CMSDK_STATE = 0x04, QD_CMSDK_CTRL = 0x08, QD_CMSDK_BAUDDIV = 0x10 };

static inline void qd_cmsdk_init(uint32_t base, uint32_t clock_hz, uint32_t baud)
{
    qd_put(base + QD_CMSDK_BAUDDIV, clock_hz / baud);
    qd_put(base + QD_CMSDK_CTRL, 3u); /* transmitter and receiver on */
}

static inline uint8_t qd_cmsdk_read(uint32_t base)
{
    qd_await(base + QD_CMSDK_STATE, 2u); /* receive buffer full */
    return (uint8_t)qd_get(base + QD_CMSDK_DATA);
}

static inline void qd_cmsdk_write(uint32_t base, uint8_t byte)
{
    while ((qd_get(base + QD_CMSDK_STATE) & 1u) != 0u) { /* transmit buffer full */
    }
    qd_put(base + QD_CMSDK_DATA, byte);
}

#endif
