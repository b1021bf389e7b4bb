/* ST NUCLEO-F446RE: USART2 on PA2 and PA3 leads to the ST-LINK's virtual serial port.
 *
 * The core runs at 84 MHz from the internal oscillator: 16 MHz / 8 * 168 / 4. Register numbers
 * are those of ST's reference manual RM0390.
 */
#include "qd_board.h"
#include "qd_config.h"
#include "qd_core.h"
#include "qd_counter_dwt.h"
#include "qd_uart_stm32f4.h"

#define FLASH_ACR 0x40023C00u
#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_AHB1ENR 0x40023830u
#define RCC_APB1ENR 0x40023840u
#define GPIOA_MODER 0x40020000u
#define GPIOA_AFRL 0x40020020u

enum {
    PLL_M = 8,   /* 16 MHz / 8 = 2 MHz into the PLL */
    PLL_N = 168, /* 336 MHz inside it */
    PLL_P = 1,   /* coded: divide by 4 = 84 MHz */
    PLL_Q = 7,   /* 48 MHz, unused but must be legal */
    PLL_R = 2    /* likewise */
};

/* Two wait states carry the flash to 90 MHz at 2.7 V and above; caches and prefetch on. */
static void start_clock(void)
{
    qd_put(FLASH_ACR, 1u << 10 | 1u << 9 | 1u << 8 | 2u);
    qd_put(RCC_PLLCFGR, (uint32_t)PLL_R << 28 | (uint32_t)PLL_Q << 24 | (uint32_t)PLL_P << 16
                            | (uint32_t)PLL_N << 6 | (uint32_t)PLL_M);
    qd_set_bits(RCC_CR, 1u << 24); /* PLLON */
    qd_await(RCC_CR, 1u << 25);    /* PLLRDY */
    /* APB1 may have 45 MHz at most: half the core clock. Then run from the PLL. */
    qd_put(RCC_CFGR, 4u << 10 | 2u);
    qd_await(RCC_CFGR, 2u << 2);
}

static void connect_pins(void)
{
    qd_set_bits(RCC_AHB1ENR, 1u);       /* GPIOA */
    qd_set_bits(RCC_APB1ENR, 1u << 17); /* USART2 */
    (void)qd_get(RCC_APB1ENR);          /* a clock needs two cycles before its first use */
    const uint32_t other_functions = qd_get(GPIOA_AFRL) & ~(0xFFu << 8);
    qd_put(GPIOA_AFRL, other_functions | 7u << 8 | 7u << 12); /* AF7: USART2 */
    const uint32_t other_modes = qd_get(GPIOA_MODER) & ~(0xFu << 4);
    qd_put(GPIOA_MODER, other_modes | 2u << 4 | 2u << 6); /* alternate function */
}

void qd_board_init(void)
{
    start_clock();
    connect_pins();
    qd_usart_init(QD_UART_BASE, QD_CLOCK_HZ / 2u, QD_UART_BAUD);
    qd_dwt_init();
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
    return QD_COUNTER_CYCLES;
}

void qd_board_count_begin(void)
{
    qd_dwt_begin();
}

uint32_t qd_board_count_end(void)
{
    return qd_dwt_end();
}

void qd_board_reset(void)
{
    qd_core_reset();
}
