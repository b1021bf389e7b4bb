/* qd_board.h: everything the runtime asks of a board. boards/<name>/board.c implements it.
 *
 * All of it is polled: no function is called from an interrupt, and none is enabled.
 */
#ifndef QD_BOARD_H
#define QD_BOARD_H

#include <stdint.h>

/* What qd_board_count_end() counts. */
typedef enum {
    QD_COUNTER_NONE = 0,
    QD_COUNTER_CYCLES = 1, /* core clock cycles */
    QD_COUNTER_TICKS = 2   /* SysTick ticks: cycles on silicon, instructions on an emulator */
} qd_counter;

/* The count did not fit the counter. */
#define QD_COUNT_OVERFLOW UINT32_MAX

/* Clocks, pins, UART and counter. Called once, before anything else. */
void qd_board_init(void);

/* Wait for a byte from the host. */
uint8_t qd_board_read(void);

/* Wait until the UART takes a byte for the host. */
void qd_board_write(uint8_t byte);

/* Which counter there is. */
qd_counter qd_board_counter(void);

/* Start counting, and return how much was counted since, or QD_COUNT_OVERFLOW. */
void qd_board_count_begin(void);
uint32_t qd_board_count_end(void);

/* Start over as after power-on. Does not return. */
void qd_board_reset(void);

#endif
