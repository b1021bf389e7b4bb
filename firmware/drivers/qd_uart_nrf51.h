/* qd_uart_nrf51.h: the UART of Nordic's nRF51. */
#ifndef QD_UART_NRF51_H
#define QD_UART_NRF51_H

#include "qd_register.h"

enum {
    QD_NRF51_STARTRX = 0x000,
    QD_NRF51_STARTTX = 0x008,
    QD_NRF51_RXDRDY = 0x108,
    QD_NRF51_TXDRDY = 0x11C,
    QD_NRF51_ENABLE = 0x500,
    QD_NRF51_PSELTXD = 0x50C,
    QD_NRF51_PSELRXD = 0x514,
    QD_NRF51_RXD = 0x518,
    QD_NRF51_TXD = 0x51C,
    QD_NRF51_BAUDRATE = 0x524
};

#define QD_NRF51_BAUD_115200 0x01D7E000u

static inline void qd_nrf51_init(uint32_t base, uint32_t tx_pin, uint32_t rx_pin, uint32_t rate)
{
    qd_put(base + QD_NRF51_PSELTXD, tx_pin);
    qd_put(base + QD_NRF51_PSELRXD, rx_pin);
    qd_put(base + QD_NRF51_BAUDRATE, rate);
    qd_put(base + QD_NRF51_ENABLE, 4u);
    qd_put(base + QD_NRF51_RXDRDY, 0u);
    qd_put(base + QD_NRF51_TXDRDY, 0u);
    qd_put(base + QD_NRF51_STARTRX, 1u);
    qd_put(base + QD_NRF51_STARTTX, 1u);
}

/* The event is cleared before the byte is taken: taking it makes room for the next event. */
static inline uint8_t qd_nrf51_read(uint32_t base)
{
    qd_await(base + QD_NRF51_RXDRDY, 1u);
    qd_put(base + QD_NRF51_RXDRDY, 0u);
    return (uint8_t)qd_get(base + QD_NRF51_RXD);
}

/* Waits behind the byte, not before it: before the first byte there is no event to wait for. */
static inline void qd_nrf51_write(uint32_t base, uint8_t byte)
{
    qd_put(base + QD_NRF51_TXDRDY, 0u);
    qd_put(base + QD_NRF51_TXD, byte);
    qd_await(base + QD_NRF51_TXDRDY, 1u);
}

#endif
