/* qd_serial.h: a host asks over a UART, the device answers. docs/SPEC.md, "Wire", has every bit.
 *
 * Strictly one request, one reply. Every request may be repeated: what it asks for depends on
 * nothing but the request, so a reply that got lost is simply computed again.
 */
#ifndef QD_SERIAL_H
#define QD_SERIAL_H

#include <stdint.h>

#include "qd_model.h"

#define QD_WIRE_VERSION 1

/* A packet is a header, a payload and a CRC-32; these are the bytes around the payload. */
#define QD_PACKET_HEADER 4u
#define QD_PACKET_OVERHEAD 8u

/* Second byte of a packet; a reply carries the command's number plus QD_REPLY. */
enum {
    QD_PING = 0x01,
    QD_IDENTIFY = 0x02,
    QD_INFER = 0x03,
    QD_RESET = 0x04,
    QD_CALIBRATE = 0x05,
    QD_REPLY = 0x80,
    QD_FAULT = 0xFE,
    QD_REFUSED = 0xFF
};

/* First payload byte of QD_REFUSED. */
enum {
    QD_REFUSED_DAMAGED = 1, /* not a whole packet, too long, or a wrong CRC */
    QD_REFUSED_VERSION = 2, /* another wire version; the reply is of ours */
    QD_REFUSED_COMMAND = 3, /* no such command */
    QD_REFUSED_PAYLOAD = 4  /* the payload is not of the command's form */
};

/* The caller owns both buffers; they are aligned to 4 bytes and do not overlap.
 * pre: capacities >= QD_PACKET_OVERHEAD + 128, and room for one vector and one result */
typedef struct {
    const qd_model_info *model;
    uint8_t *request;
    uint32_t request_capacity;
    uint8_t *reply;
    uint32_t reply_capacity;
} qd_serial;

/* Wait for one frame and answer it. Call it for ever. */
void qd_serial_serve(const qd_serial *serial);

/* Report a crash: where it happened, and the fault status registers where the core has them.
 * Needs no state, because a crashed program has none to be trusted. */
typedef struct {
    uint32_t pc;
    uint32_t lr;
    uint32_t exception; /* exception number, from xPSR of the handler */
    uint32_t cfsr;
    uint32_t hfsr;
} qd_fault;
void qd_serial_fault(const qd_fault *fault);

#endif
