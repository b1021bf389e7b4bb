/* The whole program of a board: answer the host for ever. */
#include "qd_board.h"
#include "qd_config.h"
#include "qd_serial.h"
#include "qd_start.h"

extern const qd_model_info QD_MODEL;

/* Packets hold codes of up to 32 bits at 4-byte borders: hence the union. */
static union {
    uint8_t bytes[QD_PACKET_OVERHEAD + QD_REQUEST_BYTES];
    uint32_t alignment;
} request;

static union {
    uint8_t bytes[QD_PACKET_OVERHEAD + QD_REPLY_BYTES];
    uint32_t alignment;
} reply;

void qd_main(void)
{
    const qd_serial serial = {
        &QD_MODEL, request.bytes, sizeof request.bytes, reply.bytes, sizeof reply.bytes,
    };
    qd_board_init();
    for (;;) {
        qd_serial_serve(&serial);
    }
}
