/* qd_cobs.h: Consistent Overhead Byte Stuffing, which frees a stream of zero bytes.
 *
 * Zero then marks the border between two frames and nothing else, so a reader that lost its
 * place finds it again at the next zero, whatever was lost.
 */
#ifndef QD_COBS_H
#define QD_COBS_H

#include <stdbool.h>
#include <stdint.h>

/* A frame being received. `data` belongs to the caller and outlives the reader. */
typedef struct {
    uint8_t *data;
    uint32_t capacity; /* bytes `data` holds */
    uint32_t size;     /* bytes decoded so far, <= capacity */
    uint8_t code;      /* length byte of the group being read; 0: no group begun */
    uint8_t left;      /* bytes of the group still to come */
    bool overflow;     /* the frame is longer than `capacity` */
} qd_cobs_reader;

typedef enum {
    QD_COBS_MORE,    /* the frame goes on */
    QD_COBS_EMPTY,   /* a border with nothing before it */
    QD_COBS_WHOLE,   /* data[0 .. size) is a frame */
    QD_COBS_DAMAGED, /* the frame ended inside a group, or did not fit */
} qd_cobs_state;

/* Begin a frame. */
void qd_cobs_begin(qd_cobs_reader *reader);

/* Take the next byte of the stream. After any answer but QD_COBS_MORE: begin again. */
qd_cobs_state qd_cobs_take(qd_cobs_reader *reader, uint8_t byte);

/* Send `size` bytes as one frame through `put`, borders included. */
void qd_cobs_send(const uint8_t *data, uint32_t size, void (*put)(uint8_t byte));

#endif
