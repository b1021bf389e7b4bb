/* qd_known_loop: exactly 2 n instructions and the return, on every core.
 *
 * void qd_known_loop(const void *n, void *unused), n >= 1 in the place of a pointer, so that it is
 * counted by the same instructions as an inference. Assembly, because no compiler promises a
 * number of instructions.
 */
    .syntax unified
    .thumb

    .section .text.qd_known_loop, "ax", %progbits
    .balign 4
    .global qd_known_loop
    .type qd_known_loop, %function
    .thumb_func
qd_known_loop:
1:  subs r0, r0, #1
    bne 1b
    bx lr
    .size qd_known_loop, . - qd_known_loop
