/* qd_timed.h: what one call costs. */
#ifndef QD_TIMED_H
#define QD_TIMED_H

#include <stdint.h>

/* Count one run(in, out). The count includes a few instructions around the call, the same few
 * for every function: qd_timed_overhead() counts them, with the one return instruction of an
 * empty function. */
uint32_t qd_timed(void (*run)(const void *in, void *out), const void *in, void *out);
uint32_t qd_timed_overhead(void);

/* Count a loop of 2 * turns instructions and a return, which tells a host whether the counter is to
 * be believed. QD_COUNT_OVERFLOW on a processor that has no such loop.
 * pre: turns >= 1 */
uint32_t qd_timed_known(uint32_t turns);

#endif
