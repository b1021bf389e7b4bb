/* The vector table and the first instructions.
 *
 * Assembly, because a compiler may use floating point or vector registers in the very first
 * loop of C, and those fault until the coprocessor access register allows them.
 */
    .syntax unified
    .thumb

    .section .vectors, "a", %progbits
    .balign 4
    .global qd_vectors
qd_vectors:
    .word qd_stack_top
    .word qd_reset
    .rept 14
    .word qd_fault
    .endr

    .section .text.qd_reset, "ax", %progbits
    .balign 4
    .global qd_reset
    .type qd_reset, %function
    .thumb_func
qd_reset:
#if !defined(__ARM_ARCH_6M__) && !defined(__ARM_ARCH_8M_BASE__)
    ldr r0, =0xE000ED88             /* CPACR: full access to coprocessors 10 and 11 */
    ldr r1, [r0]
    ldr r2, =0x00F00000
    orrs r1, r1, r2
    str r1, [r0]
    dsb
    isb
#endif
    bl qd_start
1:  b 1b
    .size qd_reset, . - qd_reset

    .section .text.qd_fault, "ax", %progbits
    .balign 4
    .global qd_fault
    .type qd_fault, %function
    .thumb_func
qd_fault:
    mrs r0, msp
    bl qd_fault_handler
1:  b 1b
    .size qd_fault, . - qd_fault
