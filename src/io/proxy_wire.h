/* What reading and writing the PROXY protocol have in common: the numbers of version 2, its checksum. Not a door. */
#ifndef SP_IO_PROXY_WIRE_H
#define SP_IO_PROXY_WIRE_H

#include "sallyport/base/base.h"

#define PROXY_SIGNATURE     "\r\n\r\n\0\r\nQUIT\n"
#define PROXY_SIGNATURE_LEN 12
#define PROXY_HEAD_LEN      16 /* signature, version and command, family, length */
#define PROXY_TLV_HEAD_LEN  3
#define PROXY_UNIQUE_ID_MAX 128
#define PROXY_TCP4_LEN      12
#define PROXY_TCP6_LEN      36
#define PROXY_UNIX_LEN      216

enum { PROXY_LOCAL = 0x20, PROXY_PROXY = 0x21 };
enum { PROXY_UNSPEC = 0x00, PROXY_TCP4 = 0x11, PROXY_UDP4 = 0x12, PROXY_TCP6 = 0x21, PROXY_UDP6 = 0x22 };
enum { PROXY_UNIX_STREAM = 0x31, PROXY_UNIX_DGRAM = 0x32 };

enum {
    PROXY_TLV_ALPN = 0x01,
    PROXY_TLV_AUTHORITY = 0x02,
    PROXY_TLV_CRC32C = 0x03,
    PROXY_TLV_UNIQUE_ID = 0x05,
    PROXY_TLV_SSL = 0x20,
    PROXY_SSL_VERSION = 0x21,
    PROXY_SSL_CN = 0x22,
    PROXY_SSL_CIPHER = 0x23,
    PROXY_SSL_SIG_ALG = 0x24,
    PROXY_SSL_KEY_ALG = 0x25,
    PROXY_SSL_GROUP = 0x26,
    PROXY_SSL_SIG_SCHEME = 0x27,
    PROXY_SSL_CLIENT_CERT = 0x28,
};
enum { PROXY_CLIENT_SSL = 1, PROXY_CLIENT_CERT_CONN = 2, PROXY_CLIENT_CERT_SESS = 4 }; /* bits */

/* CRC32C (RFC 9260, Appendix A) over more bytes: begin with 0. */
uint32_t sp_crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
