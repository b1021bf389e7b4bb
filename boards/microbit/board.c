/* BBC micro:bit, first edition: the UART of its nRF51822 on the pins of the USB bridge.
 *
 * SysTick exists in QEMU only: this M0 was made without it. On the real board the count is
 * therefore meaningless, and the host does not ask for it.
 */
#include "qd_board.h"
#include "qd_config.h"
#include "qd_core.h"
#include "qd_counter_systick.h"
#include "qd_uart_nrf51.h"

enum { TX_PIN = 24, RX_PIN = 25 };

void qd_board_init(void)
{
    qd_nrf51_init(QD_UART_BASE, TX_PIN, RX_PIN, QD_NRF51_BAUD_115200);
    qd_systick_init();
}

uint8_t qd_board_read(void)
{
    return qd_nrf51_read(QD_UART_BASE);
}

void qd_board_write(uint8_t byte)
{
    qd_nrf51_write(QD_UART_BASE, byte);
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
