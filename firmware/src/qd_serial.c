#include "qd_serial.h"

#include <stdbool.h>

#include "qd_board.h"
#include "qd_cobs.h"
#include "qd_config.h"
#include "qd_crc32.h"
#include "qd_timed.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#if defined(__clang__)
#define COMPILER "clang " TEXT(__clang_major__) "." TEXT(__clang_minor__)
#elif defined(__GNUC__)
#define COMPILER "gcc " TEXT(__GNUC__) "." TEXT(__GNUC_MINOR__)
#else
#define COMPILER "unknown"
#endif

enum { TOKEN_MAX = 64, COMPILER_MAX = 48, IDENTITY_SIZE = 64 };

#define TURNS_MAX (1u << 23) /* as many instructions as 24 bits count */

/* A reply being filled: the payload begins behind the header. */
typedef struct {
    uint8_t *payload;
    uint32_t size;
    uint8_t kind;
} reply_t;

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value);
    put16(&at[2], value >> 16);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        to[i] = from[i];
    }
}

/* Complete the packet in `packet`, whose payload and sequence number stand in place, and send. */
static void send(uint8_t *packet, uint8_t kind, uint32_t payload_size)
{
    packet[0] = QD_WIRE_VERSION;
    packet[1] = kind;
    const uint32_t body = QD_PACKET_HEADER + payload_size;
    put32(&packet[body], qd_crc32(packet, body));
    qd_cobs_send(packet, body + 4u, qd_board_write);
}

static void refuse(reply_t *reply, uint8_t reason)
{
    reply->kind = QD_REFUSED;
    reply->payload[0] = reason;
    reply->size = 1;
}

static void ping(const uint8_t *payload, uint32_t size, reply_t *reply)
{
    if (size > (uint32_t)TOKEN_MAX) {
        refuse(reply, QD_REFUSED_PAYLOAD);
        return;
    }
    copy(reply->payload, payload, size);
    reply->size = size;
}

/* CPUID of the core; zero where the program runs on no ARM core. */
static uint32_t cpuid(void)
{
#if defined(__arm__)
    return *(const volatile uint32_t *)0xE000ED00u;
#else
    return 0;
#endif
}

static void identify(const qd_serial *serial, reply_t *reply)
{
    const qd_model_info *model = serial->model;
    uint8_t *at = reply->payload;
    put16(&at[0], model->abi);
    at[2] = model->in_bytes;
    at[3] = model->out_bytes;
    put16(&at[4], model->n_in);
    put16(&at[6], model->n_out);
    put16(&at[8], (uint32_t)model->in_fb);
    put16(&at[10], (uint32_t)model->out_fb);
    put32(&at[12], serial->request_capacity - QD_PACKET_OVERHEAD);
    put32(&at[16], serial->reply_capacity - QD_PACKET_OVERHEAD);
    put32(&at[20], QD_CLOCK_HZ);
    put32(&at[24], cpuid());
    put32(&at[28], qd_timed_overhead());
    copy(&at[32], model->digest, 32);
    at[IDENTITY_SIZE] = (uint8_t)qd_board_counter();
    static const char compiler[] = COMPILER;
    uint32_t length = 0;
    while (compiler[length] != '\0' && length < (uint32_t)COMPILER_MAX) {
        at[IDENTITY_SIZE + 1u + length] = (uint8_t)compiler[length];
        length++;
    }
    reply->size = IDENTITY_SIZE + 1u + length;
}

/* Codes are exchanged as they lie in memory, which the wire defines as little endian. The result
 * of a vector is its count and its outputs, padded so that the next result is aligned. */
static void infer(const qd_serial *serial, uint32_t size, reply_t *reply)
{
    const qd_model_info *model = serial->model;
    const uint32_t in_size = (uint32_t)model->n_in * model->in_bytes;
    const uint32_t out_size = (uint32_t)model->n_out * model->out_bytes;
    const uint32_t result_size = 4u + ((out_size + 3u) & ~3u);
    const uint32_t room = serial->reply_capacity - QD_PACKET_OVERHEAD;
    uint32_t used = 0;
    while (size - used >= in_size && room - reply->size >= result_size) {
        const void *in = &serial->request[QD_PACKET_HEADER + used];
        uint8_t *result = &reply->payload[reply->size];
        put32(&result[result_size - 4u], 0); /* the padding is defined */
        put32(result, qd_timed(model->run, in, &result[4]));
        used += in_size;
        reply->size += result_size;
    }
    if (size == 0u || used != size) {
        refuse(reply, QD_REFUSED_PAYLOAD);
    }
}

static void calibrate(const uint8_t *payload, uint32_t size, reply_t *reply)
{
    const uint32_t turns = size == 4u ? get32(payload) : 0u;
    if (turns == 0u || turns > TURNS_MAX) {
        refuse(reply, QD_REFUSED_PAYLOAD);
        return;
    }
    put32(reply->payload, qd_timed_known(turns));
    reply->size = 4;
}

/* A whole packet of our version: do what it asks. */
static void obey(const qd_serial *serial, uint32_t size, reply_t *reply)
{
    const uint8_t *payload = &serial->request[QD_PACKET_HEADER];
    reply->kind = (uint8_t)(serial->request[1] | QD_REPLY);
    switch (serial->request[1]) {
    case QD_PING:
        ping(payload, size, reply);
        break;
    case QD_IDENTIFY:
        identify(serial, reply);
        break;
    case QD_INFER:
        infer(serial, size, reply);
        break;
    case QD_RESET:
        break;
    case QD_CALIBRATE:
        calibrate(payload, size, reply);
        break;
    default:
        refuse(reply, QD_REFUSED_COMMAND);
        break;
    }
}

static bool intact(const uint8_t *packet, uint32_t size)
{
    return size >= QD_PACKET_OVERHEAD && qd_crc32(packet, size - 4u) == get32(&packet[size - 4u]);
}

/* Wait for a frame that is not empty. */
static qd_cobs_state receive(qd_cobs_reader *reader)
{
    qd_cobs_state state = QD_COBS_EMPTY;
    while (state == QD_COBS_EMPTY) {
        qd_cobs_begin(reader);
        do {
            state = qd_cobs_take(reader, qd_board_read());
        } while (state == QD_COBS_MORE);
    }
    return state;
}

void qd_serial_serve(const qd_serial *serial)
{
    qd_cobs_reader reader = {serial->request, serial->request_capacity, 0, 0, 0, false};
    reply_t reply = {&serial->reply[QD_PACKET_HEADER], 0, QD_REFUSED};

    const bool whole = receive(&reader) == QD_COBS_WHOLE && intact(reader.data, reader.size);
    put16(&serial->reply[2], 0);
    if (!whole) {
        refuse(&reply, QD_REFUSED_DAMAGED);
    } else {
        copy(&serial->reply[2], &serial->request[2], 2); /* the sequence number */
        if (serial->request[0] != QD_WIRE_VERSION) {
            refuse(&reply, QD_REFUSED_VERSION);
        } else {
            obey(serial, reader.size - QD_PACKET_OVERHEAD, &reply);
        }
    }
    send(serial->reply, reply.kind, reply.size);
    if (reply.kind == (QD_RESET | QD_REPLY)) {
        qd_board_reset();
    }
}

void qd_serial_fault(const qd_fault *fault)
{
    uint8_t packet[QD_PACKET_OVERHEAD + 20u];
    put16(&packet[2], 0);
    put32(&packet[QD_PACKET_HEADER], fault->pc);
    put32(&packet[QD_PACKET_HEADER + 4u], fault->lr);
    put32(&packet[QD_PACKET_HEADER + 8u], fault->exception);
    put32(&packet[QD_PACKET_HEADER + 12u], fault->cfsr);
    put32(&packet[QD_PACKET_HEADER + 16u], fault->hfsr);
    send(packet, QD_FAULT, 20);
}
