#include "qd_start.h"

#include "qd_board.h"
#include "qd_serial.h"

/* Borders that the linker script defines; only their addresses mean anything. */
extern uint32_t qd_data_start[];
extern uint32_t qd_data_end[];
extern const uint32_t qd_data_load[];
extern uint32_t qd_bss_start[];
extern uint32_t qd_bss_end[];

void qd_start(void)
{
    const uint32_t *from = qd_data_load;
    for (uint32_t *to = qd_data_start; to < qd_data_end; to++) {
        *to = *from;
        from++;
    }
    for (uint32_t *to = qd_bss_start; to < qd_bss_end; to++) {
        *to = 0;
    }
    qd_main();
}

#if defined(__ARM_ARCH_6M__)
#define FAULT_STATUS(address) 0u /* ARMv6-M has no fault status registers */
#else
#define FAULT_STATUS(address) (*(const volatile uint32_t *)(address))
#endif

void qd_fault_handler(const uint32_t *stacked)
{
    const qd_fault fault = {
        stacked[6], stacked[5], *(const volatile uint32_t *)0xE000ED04u & 0x1FFu,
        FAULT_STATUS(0xE000ED28u), FAULT_STATUS(0xE000ED2Cu),
    };
    /* The host may not have been listening: say it again at every border of a frame. */
    for (;;) {
        qd_serial_fault(&fault);
        while (qd_board_read() != 0u) {
        }
    }
}
