/* What a connection begins with, before anything is spent on it: a TLS record, a plain HTTP request that
 * deserves an answer in its own language, or something else. Pure functions. */
#include <stdio.h>

#include "sallyport/base/text.h"
#include "tls_private.h"

#define RECORD_HANDSHAKE 0x16
#define VERSION_MAJOR    0x03

static const struct {
    struct sp_slice text;
    bool has_body;
} http_methods[] = {
    {{"GET ", 4}, false},
    {{"HEAD ", 5}, false},
    {{"POST ", 5}, true},
    {{"PUT ", 4}, true},
    {{"DELETE ", 7}, false},
    {{"OPTIONS ", 8}, false},
    {{"PATCH ", 6}, true},
    {{"TRACE ", 6}, false},
    {{"CONNECT ", 8}, false},
};

static const struct {
    struct sp_slice start;
    const char *name;
} known_protocols[] = {
    {{"SSH-", 4}, "SSH"},
    {{"PRI * HTTP/2", 12}, "HTTP/2 without TLS"},
    {{"PROXY ", 6}, "a PROXY protocol header"},
    {{"\r\n\r\n\0\r\nQUIT\n", 12}, "a PROXY protocol header"},
    {{"\0\0\0\x08\x04\xd2\x16/", 8}, "PostgreSQL's SSLRequest: the client does not begin with TLS at once"},
};

enum first_bytes first_bytes_judge(const unsigned char *bytes, size_t len, bool *has_body)
{
    if (len == 0)
        return FIRST_MORE;
    if (bytes[0] == RECORD_HANDSHAKE) {
        if (len == 1)
            return FIRST_MORE;
        return bytes[1] == VERSION_MAJOR ? FIRST_TLS : FIRST_OTHER;
    }
    for (size_t i = 0; i < SP_COUNTOF(http_methods); i++) {
        struct sp_slice method = http_methods[i].text;
        size_t common = len < method.len ? len : method.len;
        if (memcmp(bytes, method.ptr, common) != 0)
            continue;
        if (common < method.len)
            return FIRST_MORE; /* no method is the start of another */
        *has_body = http_methods[i].has_body;
        return FIRST_HTTP;
    }
    return FIRST_OTHER;
}

void first_bytes_describe(const unsigned char *bytes, size_t len, char *out, size_t room)
{
    struct sp_slice all = {(const char *)bytes, len};
    for (size_t i = 0; i < SP_COUNTOF(known_protocols); i++) {
        if (sp_slice_starts(all, known_protocols[i].start)) {
            snprintf(out, room, "%s", known_protocols[i].name);
            return;
        }
    }
    char hex[2 * FIRST_BYTES_MAX + 1];
    snprintf(out, room, "first bytes %s", sp_hex(bytes, len < FIRST_BYTES_MAX ? len : FIRST_BYTES_MAX, hex));
}
