#include "qd_cobs.h"

enum { GROUP_MAX = 254 }; /* a full group, announced by 0xFF, stands for no zero after it */

void qd_cobs_begin(qd_cobs_reader *reader)
{
    reader->size = 0;
    reader->code = 0;
    reader->left = 0;
    reader->overflow = false;
}

static void append(qd_cobs_reader *reader, uint8_t byte)
{
    if (reader->size == reader->capacity) {
        reader->overflow = true;
        return;
    }
    reader->data[reader->size] = byte;
    reader->size++;
}

static qd_cobs_state end_of_frame(const qd_cobs_reader *reader)
{
    if (reader->code == 0u) {
        return QD_COBS_EMPTY;
    }
    return (reader->left != 0u || reader->overflow) ? QD_COBS_DAMAGED : QD_COBS_WHOLE;
}

qd_cobs_state qd_cobs_take(qd_cobs_reader *reader, uint8_t byte)
{
    if (byte == 0u) {
        return end_of_frame(reader);
    }
    if (reader->left != 0u) {
        reader->left--;
        append(reader, byte);
        return QD_COBS_MORE;
    }
    /* A new group: the zero between it and the one before was left out of the stream. */
    if (reader->code != 0u && reader->code <= GROUP_MAX) {
        append(reader, 0);
    }
    reader->code = byte;
    reader->left = (uint8_t)(byte - 1u);
    return QD_COBS_MORE;
}

/* Bytes from data[0] on that hold no zero, GROUP_MAX at most. */
static uint32_t run_length(const uint8_t *data, uint32_t size)
{
    uint32_t run = 0;
    while (run < size && run < (uint32_t)GROUP_MAX && data[run] != 0u) {
        run++;
    }
    return run;
}

void qd_cobs_send(const uint8_t *data, uint32_t size, void (*put)(uint8_t byte))
{
    uint32_t start = 0;
    bool more = true; /* the last group stands for a zero that is still to be covered */
    put(0);
    while (more) {
        const uint32_t run = run_length(&data[start], size - start);
        put((uint8_t)(run + 1u));
        for (uint32_t i = 0; i < run; i++) {
            put(data[start + i]);
        }
        start += run;
        more = start < size;
        if (more && run < (uint32_t)GROUP_MAX) {
            start++; /* the zero this group stands for; a frame may end with it */
        }
    }
    put(0);
}
