/* 64-bit arithmetic for cores that have none, under the names of ARM's run-time ABI.
 *
 * ARMv6-M compilers turn 64-bit products and variable shifts into these calls. Here they are so
 * that firmware needs no compiler's support library. No function uses the operation it
 * implements: everything is done on 32-bit halves.
 */
#include <stdint.h>

#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)

typedef union {
    uint64_t whole;
    struct {
        uint32_t low;
        uint32_t high;
    } half; /* little endian, as every core built for here */
} wide;

uint64_t __aeabi_lmul(uint64_t a, uint64_t b);
uint64_t __aeabi_llsl(uint64_t value, int shift);
uint64_t __aeabi_llsr(uint64_t value, int shift);
uint64_t __aeabi_lasr(uint64_t value, int shift);

/* a * b of 32 bits each, exactly: four products of 16 bits, none above (2^16 - 1)^2. */
static wide product(uint32_t a, uint32_t b)
{
    const uint32_t a_low = a & 0xFFFFu;
    const uint32_t b_low = b & 0xFFFFu;
    const uint32_t a_high = a >> 16;
    const uint32_t b_high = b >> 16;
    const uint32_t bottom = a_low * b_low;
    /* <= (2^16 - 1)^2 + 2^16 - 1 < 2^32 */
    const uint32_t first = a_high * b_low + (bottom >> 16);
    /* the same bound */
    const uint32_t second = a_low * b_high + (first & 0xFFFFu);
    wide result;
    result.half.low = (second << 16) | (bottom & 0xFFFFu);
    result.half.high = a_high * b_high + (first >> 16) + (second >> 16);
    return result;
}

/* Modulo 2^64, so it serves signed and unsigned operands. */
uint64_t __aeabi_lmul(uint64_t a, uint64_t b)
{
    wide x;
    wide y;
    x.whole = a;
    y.whole = b;
    wide result = product(x.half.low, y.half.low);
    result.half.high += x.half.low * y.half.high + x.half.high * y.half.low;
    return result.whole;
}

/* The shifts. pre: 0 <= shift <= 63 */
uint64_t __aeabi_llsl(uint64_t value, int shift)
{
    wide x;
    x.whole = value;
    if (shift >= 32) {
        x.half.high = x.half.low << (shift - 32);
        x.half.low = 0;
    } else if (shift > 0) {
        x.half.high = x.half.high << shift | x.half.low >> (32 - shift);
        x.half.low <<= shift;
    }
    return x.whole;
}

uint64_t __aeabi_llsr(uint64_t value, int shift)
{
    wide x;
    x.whole = value;
    if (shift >= 32) {
        x.half.low = x.half.high >> (shift - 32);
        x.half.high = 0;
    } else if (shift > 0) {
        x.half.low = x.half.low >> shift | x.half.high << (32 - shift);
        x.half.high >>= shift;
    }
    return x.whole;
}

uint64_t __aeabi_lasr(uint64_t value, int shift)
{
    wide x;
    x.whole = value;
    const uint32_t sign = 0u - (x.half.high >> 31); /* all ones for a negative value */
    if (shift >= 32) {
        /* ~(~h >> s) shifts ones in without relying on >> of a negative integer */
        x.half.low = ((x.half.high ^ sign) >> (shift - 32)) ^ sign;
        x.half.high = sign;
    } else if (shift > 0) {
        x.half.low = x.half.low >> shift | x.half.high << (32 - shift);
        x.half.high = ((x.half.high ^ sign) >> shift) ^ sign;
    }
    return x.whole;
}

#else
typedef int qd_aeabi_not_needed; /* ISO C forbids an empty translation unit */
#endif
