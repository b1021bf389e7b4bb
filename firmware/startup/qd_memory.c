/* The two functions that compilers call for copies and fills of their own making, even in
 * freestanding programs. The empty asm keeps a compiler from recognising each loop as what it
 * implements, and calling the function from inside itself. */
#include <stddef.h>
#include <stdint.h>

#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int value, size_t size);

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    for (size_t i = 0; i < size; i++) {
        target[i] = source[i];
        KEEP_LOOP();
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    uint8_t *target = to;
    for (size_t i = 0; i < size; i++) {
        target[i] = (uint8_t)value;
        KEEP_LOOP();
    }
    return to;
}
