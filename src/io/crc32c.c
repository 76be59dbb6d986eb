/* CRC32C, the checksum of Castagnoli's polynomial (RFC 9260, Appendix A), four bits a step: headers are short, and a
 * table of 64 bytes stays out of everybody's way. */
#include "proxy_wire.h"

uint32_t sp_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    /* Of the reflected polynomial 0x82f63b78. */
    static const uint32_t nibbles[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc,
        0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4,
        0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const uint8_t *p = bytes;

    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibbles[crc & 0xf];
        crc = crc >> 4 ^ nibbles[crc & 0xf];
    }
    return ~crc;
}
