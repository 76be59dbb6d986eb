/* Byte classes of RFC 9110 and RFC 3986, and the few checks that parser, writer and paths share. Private to the
 * room. */
#ifndef HTTP_SYNTAX_H
#define HTTP_SYNTAX_H

#include "sallyport/base/base.h"
#include "sallyport/http/message.h"

enum {
    CC_TOKEN = 1,       /* tchar, RFC 9110 §5.6.2 */
    CC_ODD_NAME = 2,    /* '_' and '.': tchars that some backends read as '-' */
    CC_VALUE = 4,       /* a field value: 0x20-0x7E, HTAB, 0x80-0xFF */
    CC_PATH = 8,        /* a path byte that stands for itself: pchar without '%' and ';' */
    CC_QUERY = 16,      /* a query byte that stands for itself: pchar, '/' and '?', without '%' */
    CC_UNRESERVED = 32, /* RFC 3986 §2.3 */
    CC_HOST = 64,       /* a byte of a host name: letters, digits, '-', '_', '.' */
    CC_VISIBLE = 128,   /* 0x21-0x7E */
};
extern const uint8_t sp_http_class[256];

static inline unsigned http_class(char c)
{
    return sp_http_class[(uint8_t)c];
}

/* The value of a hex digit, or -1. */
static inline int http_hex(char c)
{
    if (sp_is_digit(c))
        return c - '0';
    c = sp_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Every byte has one of the classes in `mask`; true for nothing. */
static inline bool http_all_of(struct sp_slice s, unsigned mask)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!(http_class(s.ptr[i]) & mask))
            return false;
    }
    return true;
}

/* A non-empty token, RFC 9110 §5.6.2. */
static inline bool http_is_token(struct sp_slice s)
{
    return s.len > 0 && http_all_of(s, CC_TOKEN);
}

/* The bytes may stand in a field value or a reason phrase. Eight bytes at a time: this is where most of a
 * head's bytes go. */
bool sp_http_value_ok(struct sp_slice s);

/* `s` without SP and HTAB at both ends. */
static inline struct sp_slice http_trim(struct sp_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The next element of a comma-separated list, trimmed (it may be empty), cut off the front of *list. False at
 * the end. */
static inline bool http_list_next(struct sp_slice *list, struct sp_slice *element)
{
    if (list->ptr == NULL)
        return false;
    const char *comma = list->len > 0 ? memchr(list->ptr, ',', list->len) : NULL;
    size_t len = comma != NULL ? (size_t)(comma - list->ptr) : list->len;
    *element = http_trim((struct sp_slice){list->ptr, len});
    *list = comma != NULL ? (struct sp_slice){comma + 1, list->len - len - 1} : (struct sp_slice){NULL, 0};
    return true;
}

static inline enum sp_rc http_fault(
    struct sp_fault *fault, enum sp_refusal reason, unsigned status, const char *detail)
{
    *fault = (struct sp_fault){.reason = reason, .status = status, .detail = detail};
    return SP_FAIL;
}

#endif
