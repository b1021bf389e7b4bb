/* qd_counter_systick.h: the 24-bit SysTick timer as a counter.
 *
 * Silicon counts core cycles with it. QEMU derives it from the instructions executed when it is
 * started with -icount, and so does our own emulator: there it counts instructions.
 */
#ifndef QD_COUNTER_SYSTICK_H
#define QD_COUNTER_SYSTICK_H

#include "qd_board.h"
#include "qd_register.h"

enum { QD_SYSTICK_RANGE = 0x00FFFFFF, QD_SYSTICK_WRAPPED = 1 << 16 };

#define QD_SYSTICK_CTRL 0xE000E010u
#define QD_SYSTICK_LOAD 0xE000E014u
#define QD_SYSTICK_VALUE 0xE000E018u

static inline void qd_systick_init(void)
{
    qd_put(QD_SYSTICK_LOAD, QD_SYSTICK_RANGE);
    qd_put(QD_SYSTICK_VALUE, 0u);
    qd_put(QD_SYSTICK_CTRL, 5u); /* on, core clock, no interrupt */
}

/* Writing the value restarts the count-down from LOAD and clears the wrap flag. */
static inline void qd_systick_begin(void)
{
    qd_put(QD_SYSTICK_VALUE, 0u);
}

static inline uint32_t qd_systick_end(void)
{
    const uint32_t value = qd_get(QD_SYSTICK_VALUE);
    if ((qd_get(QD_SYSTICK_CTRL) & QD_SYSTICK_WRAPPED) != 0u) {
        return QD_COUNT_OVERFLOW;
    }
    return (0u - value) & QD_SYSTICK_RANGE;
}

#endif
