/* qd_register.h: access to memory-mapped registers. */
#ifndef QD_REGISTER_H
#define QD_REGISTER_H

#include <stdint.h>

static inline uint32_t qd_get(uint32_t address)
{
    return *(const volatile uint32_t *)(uintptr_t)address;
}

/* The barrier matters: GCC 12 may move a volatile store out of a loop and thereby repeat it
 * (seen at -O2, -O3 and -Os on every core); with a barrier behind it, it stays where it is. */
static inline void qd_put(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value;
    __asm__ volatile("" ::: "memory");
}

static inline void qd_set_bits(uint32_t address, uint32_t bits)
{
    qd_put(address, qd_get(address) | bits);
}

/* Wait until every bit of `bits` is set. */
static inline void qd_await(uint32_t address, uint32_t bits)
{
    while ((qd_get(address) & bits) != bits) {
    }
}

#endif
