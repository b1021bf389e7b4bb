/* qd_crc32.h: the check sum of a packet. */
#ifndef QD_CRC32_H
#define QD_CRC32_H

#include <stdint.h>

/* CRC-32 as Ethernet and zlib define it: reflected polynomial 0xEDB88320, initial value and
 * final exclusive-or all ones. The Python twin is zlib.crc32(). */
uint32_t qd_crc32(const uint8_t *data, uint32_t size);

#endif
