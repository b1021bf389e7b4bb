/* qd_uart_stm32f4.h: the USART of the STM32 F1, F2 and F4 families. */
#ifndef QD_UART_STM32F4_H
#define QD_UART_STM32F4_H

#include "qd_register.h"

enum { QD_USART_SR = 0x00, QD_USART_DR = 0x04, QD_USART_BRR = 0x08, QD_USART_CR1 = 0x0C };

/* `clock_hz` is the clock of the peripheral's bus. Sixteen samples a bit, 8N1. */
static inline void qd_usart_init(uint32_t base, uint32_t clock_hz, uint32_t baud)
{
    qd_put(base + QD_USART_BRR, (clock_hz + baud / 2u) / baud);
    qd_put(base + QD_USART_CR1, 1u << 13 | 1u << 3 | 1u << 2); /* on, transmitter, receiver */
}

/* Reading SR and then DR also clears an overrun. */
static inline uint8_t qd_usart_read(uint32_t base)
{
    qd_await(base + QD_USART_SR, 1u << 5); /* RXNE */
    return (uint8_t)qd_get(base + QD_USART_DR);
}

static inline void qd_usart_write(uint32_t base, uint8_t byte)
{
    qd_await(base + QD_USART_SR, 1u << 7); /* TXE */
    qd_put(base + QD_USART_DR, byte);
}

#endif
