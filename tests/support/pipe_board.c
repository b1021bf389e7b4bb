/* A board whose UART is the standard input and output of a process: for sanitizers and fuzzing. */
#include <stdio.h>
#include <stdlib.h>

#include "qd_board.h"

void qd_board_init(void)
{
}

uint8_t qd_board_read(void)
{
    const int byte = getchar();
    if (byte == EOF) {
        fflush(stdout);
        exit(0);
    }
    return (uint8_t)byte;
}

void qd_board_write(uint8_t byte)
{
    putchar(byte);
}

qd_counter qd_board_counter(void)
{
    return QD_COUNTER_NONE;
}

void qd_board_count_begin(void)
{
}

uint32_t qd_board_count_end(void)
{
    return 0;
}

void qd_board_reset(void)
{
}
