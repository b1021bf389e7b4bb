/* Netduino Plus 2 as QEMU models it: USART1 of an STM32F405, whose bus has half the core clock.
 * The model needs no clock or pin set-up; boards/nucleo-f446re shows what silicon needs.
 */
#include "qd_board.h"
#include "qd_config.h"
#include "qd_core.h"
#include "qd_counter_systick.h"
#include "qd_uart_stm32f4.h"

void qd_board_init(void)
{
    qd_usart_init(QD_UART_BASE, QD_CLOCK_HZ / 2u, QD_UART_BAUD);
    qd_systick_init();
}

uint8_t qd_board_read(void)
{
    return qd_usart_read(QD_UART_BASE);
}

void qd_board_write(uint8_t byte)
{
    qd_usart_write(QD_UART_BASE, byte);
}

qd_counter qd_board_counter(void)
{
    return QD_COUNTER_TICKS;
}

void qd_board_count_begin(void)
{
    qd_systick_begin();
}

uint32_t qd_board_count_end(void)
{
    return qd_systick_end();
}

void qd_board_reset(void)
{
    qd_core_reset();
}
