#include "qd_timed.h"

#include "qd_board.h"

/* qd_loop.S */
void qd_known_loop(const void *turns, void *unused);

/* In a file of its own, so that no compiler makes a second copy of it for a known `run`: the
 * overhead must be that of the very same instructions. */
uint32_t qd_timed(void (*run)(const void *in, void *out), const void *in, void *out)
{
    void (*volatile const call)(const void *, void *) = run;
    qd_board_count_begin();
    call(in, out);
    return qd_board_count_end();
}

static void nothing(const void *in, void *out)
{
    (void)in;
    (void)out;
}

uint32_t qd_timed_overhead(void)
{
    return qd_timed(nothing, (const void *)0, (void *)0);
}

uint32_t qd_timed_known(uint32_t turns)
{
#if defined(__arm__)
    return qd_timed(qd_known_loop, (const void *)(uintptr_t)turns, (void *)0);
#else
    (void)turns;
    return QD_COUNT_OVERFLOW;
#endif
}
