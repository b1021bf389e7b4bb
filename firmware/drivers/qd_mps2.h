/* The board functions of every ARM MPS2 FPGA image: CMSDK UART 0, counted by SysTick.
 * The images differ in core and addresses, which board.toml states; include this in one board.c.
 */
#ifndef QD_MPS2_H
#define QD_MPS2_H

#include "qd_board.h"
#include "qd_config.h"
#include "qd_core.h"
#include "qd_counter_systick.h"
#include "qd_uart_cmsdk.h"

void qd_board_init(void)
{
    qd_cmsdk_init(QD_UART_BASE, QD_CLOCK_HZ, QD_UART_BAUD);
    qd_systick_init();
}

uint8_t qd_board_read(void)
{
    return qd_cmsdk_read(QD_UART_BASE);
}

void qd_board_write(uint8_t byte)
{
    qd_cmsdk_write(QD_UART_BASE, byte);
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

#endif /* QD_MPS2_H */
