/* qd_start.h: from the reset vector to qd_main(), and from a fault to the host. */
#ifndef QD_START_H
#define QD_START_H

#include <stdint.h>

/* qd_reset.S jumps here once C may run: lays out memory and calls qd_main(). */
void qd_start(void);

/* qd_reset.S jumps here from every exception. `stacked` is what the core saved: r0-r3, r12, lr,
 * pc, xPSR. */
void qd_fault_handler(const uint32_t *stacked);

/* The program. Never returns. */
void qd_main(void);

#endif
