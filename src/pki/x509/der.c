/* See the header. The parsers that stand on this are crl_read.c and crl_ext.c. */
#include "pki/x509/der.h"

#include <endian.h>
#include <stdlib.h>

#define FIRST_ROOM ((size_t)1 << 16)

enum sp_rc sp_der_header(const uint8_t *p, const uint8_t *end, uint8_t *tag, size_t *header, size_t *content)
{
    size_t have = (size_t)(end - p), n, len = 0;
    if (have >= 1 && (p[0] & 0x1f) == 0x1f)
        return SP_FAIL;
    if (have < 2)
        return SP_AGAIN;
    *tag = p[0];
    if (p[1] < 0x80) {
        *header = 2;
        *content = p[1];
        return SP_OK;
    }
    n = p[1] & 0x7fU;
    if (n == 0 || n > 4) /* indefinite, or longer than any file that is read */
        return SP_FAIL;
    if (have < 2 + n)
        return SP_AGAIN;
    for (size_t i = 0; i < n; i++)
        len = len << 8 | p[2 + i];
    *header = 2 + n;
    *content = len;
    return SP_OK;
}

bool sp_der_next(struct sp_der *d, struct sp_der_item *out)
{
    size_t header, len;
    if (sp_der_header(d->p, d->end, &out->tag, &header, &len) != SP_OK ||
        (size_t)(d->end - d->p) - header < len)
        return false;
    out->start = d->p;
    out->bytes = d->p + header;
    out->len = len;
    d->p = out->bytes + len;
    return true;
}

bool sp_der_take(struct sp_der *d, uint8_t tag, struct sp_der_item *out)
{
    return d->p < d->end && d->p[0] == tag && sp_der_next(d, out);
}

/* ---- values ---- */

#define ZEROS UINT64_C(0x3030303030303030)

/* Eight digits as a number for every two. False: something else is among them. All at once, since a CRL has twelve an entry. */
static inline bool pairs_of(uint64_t digits, unsigned out[4])
{
    uint64_t x = le64toh(digits);
    const uint64_t high = UINT64_C(0xf0f0f0f0f0f0f0f0);
    if ((x & high) != ZEROS || ((x + UINT64_C(0x0606060606060606)) & high) != ZEROS)
        return false;
    x -= ZEROS;
    x = x * 10 + (x >> 8); /* no digit of it reaches the next byte */
    for (unsigned i = 0; i < 4; i++)
        out[i] = (unsigned)(x >> (16 * i)) & 0xff;
    return true;
}

/* Days from 1970-01-01 to the date in the proleptic Gregorian calendar; years from 0. Counted from March, so that
 * the leap day is a year's last. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year + 399 : year + 400; /* 400 years are a whole number of weeks and leaps */
    unsigned from_march = (month + 9) % 12;
    int64_t in_year = (153 * from_march + 2) / 5 + day - 1;
    return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + in_year - 719468 - 146097;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

bool sp_der_time(const struct sp_der_item *i, int64_t *out)
{
    const uint8_t *p = i->bytes;
    unsigned century[4] = {0}, date[4], time[4]; /* year, month, day, hour; minute, second */
    uint64_t eight, four = ZEROS, two = ZEROS;
    bool full = i->tag == SP_DER_GENERALIZED_TIME;
    if ((!full && i->tag != SP_DER_UTC_TIME) || i->len != (full ? 15 : 13))
        return false;
    if (full) {
        memcpy(&two, p, 2);
        if (!pairs_of(two, century))
            return false;
        p += 2;
    }
    memcpy(&eight, p, 8);
    memcpy(&four, p + 8, 4);
    if (!pairs_of(eight, date) || !pairs_of(four, time) || p[12] != 'Z')
        return false;
    unsigned year = date[0] + (full ? century[0] * 100 : date[0] >= 50 ? 1900 : 2000);
    if (date[1] < 1 || date[1] > 12 || date[2] < 1 || date[2] > days_in(year, date[1]) || date[3] > 23 ||
        time[0] > 59 || time[1] > 59)
        return false;
    *out = ((days_of(year, date[1], date[2]) * 24 + date[3]) * 60 + time[0]) * 60 + time[1];
    return true;
}

bool sp_der_time_next(const struct sp_der_item *i, struct sp_der_hour *hour, int64_t *out)
{
    unsigned time[4];
    uint64_t four = ZEROS;
    bool is_utc = i->tag == SP_DER_UTC_TIME && i->len == 13, is_any = hour->digits[0] != 0;
    if (!is_utc || !is_any || memcmp(i->bytes, hour->digits, sizeof(hour->digits)) != 0) {
        if (!sp_der_time(i, out))
            return false;
        if (is_utc) {
            memcpy(hour->digits, i->bytes, sizeof(hour->digits));
            hour->begins = *out - ((*out % 3600) + 3600) % 3600; /* before 1970, too */
        }
        return true;
    }
    memcpy(&four, i->bytes + 8, 4);
    if (!pairs_of(four, time) || time[0] > 59 || time[1] > 59 || i->bytes[12] != 'Z')
        return false;
    *out = hour->begins + time[0] * 60 + time[1];
    return true;
}

bool sp_der_integer(const struct sp_der_item *i, uint8_t *out, size_t room, bool *negative, size_t *len)
{
    if (i->len == 0)
        return false;
    const uint8_t *p = i->bytes, *end = p + i->len;
    *negative = (p[0] & 0x80) != 0;
    const uint8_t fill = *negative ? 0xff : 0;
    while (p < end && p[0] == fill)
        p++;
    size_t n = (size_t)(end - p);
    if (n > room)
        return false;
    if (n > 0)
        memcpy(out, p, n);
    if (*negative) { /* two's complement: invert, add one */
        unsigned carry = 1;
        for (size_t k = n; k > 0; k--) {
            unsigned sum = (uint8_t)~out[k - 1] + carry;
            out[k - 1] = (uint8_t)sum;
            carry = sum >> 8;
        }
        if (carry != 0) { /* all bytes were 00: the magnitude has one more */
            if (n + 1 > room)
                return false;
            memmove(out + 1, out, n);
            out[0] = 1;
            n++;
        }
    }
    size_t zeros = 0;
    while (zeros < n && out[zeros] == 0)
        zeros++;
    memmove(out, out + zeros, n - zeros);
    *len = n - zeros;
    return true;
}

/* ---- in pieces ---- */

void sp_der_stream_close(struct sp_der_stream *s)
{
    free(s->window);
    s->window = NULL;
    s->at = s->end = s->room = 0;
}

static enum sp_rc show(struct sp_der_stream *s, struct sp_err *err)
{
    if (s->seen != NULL && s->at > s->seen_from &&
        !s->seen(s->seen_arg, s->window + s->seen_from, s->at - s->seen_from))
        return sp_err_set(err, "out of memory");
    s->seen_from = s->at;
    return SP_OK;
}

/* Moves what is not read yet to the front, and makes the window large enough for `n`. */
static enum sp_rc make_room(struct sp_der_stream *s, size_t n, struct sp_err *err)
{
    if (show(s, err) != SP_OK)
        return SP_FAIL;
    if (s->at > 0)
        memmove(s->window, s->window + s->at, s->end - s->at);
    s->base += s->at;
    s->end -= s->at;
    s->at = s->seen_from = 0;
    if (s->room >= n && s->room > 0)
        return SP_OK;
    size_t room = s->room == 0 ? FIRST_ROOM : s->room;
    while (room < n)
        room *= 2;
    uint8_t *window = realloc(s->window, room);
    if (window == NULL)
        return sp_err_set(err, "out of memory");
    s->window = window;
    s->room = room;
    return SP_OK;
}

enum sp_rc sp_der_need(struct sp_der_stream *s, size_t n, struct sp_err *err)
{
    SP_ASSERT(n <= SP_DER_WINDOW);
    if (s->end - s->at >= n)
        return SP_OK;
    if (make_room(s, n, err) != SP_OK)
        return SP_FAIL;
    while (s->end < n) {
        size_t got = 0;
        enum sp_rc rc = s->over ? SP_EOF : s->more(s->arg, s->window + s->end, s->room - s->end, &got, err);
        s->over = s->over || rc == SP_EOF;
        if (rc != SP_OK)
            return rc;
        s->end += got;
    }
    return SP_OK;
}

enum sp_rc sp_der_show(struct sp_der_stream *s, bool (*seen)(void *arg, const uint8_t *bytes, size_t len),
    void *arg, struct sp_err *err)
{
    enum sp_rc rc = show(s, err);
    s->seen = seen;
    s->seen_arg = arg;
    s->seen_from = s->at;
    return rc;
}

static enum sp_rc cut_off(const char *what, struct sp_err *err)
{
    return sp_err_set(err, "it is cut off in its %s", what);
}

/* The header, not read over. */
static enum sp_rc look(
    struct sp_der_stream *s, const char *what, uint8_t *tag, size_t *header, size_t *len, struct sp_err *err)
{
    for (size_t n = 2;; n++) {
        enum sp_rc rc = sp_der_need(s, n, err);
        if (rc == SP_EOF)
            return cut_off(what, err);
        if (rc != SP_OK)
            return SP_FAIL;
        rc = sp_der_header(s->window + s->at, s->window + s->end, tag, header, len);
        if (rc == SP_OK)
            return SP_OK;
        if (rc == SP_FAIL)
            return sp_err_set(err, "its %s is no DER", what);
        n = s->end - s->at > n ? s->end - s->at : n;
    }
}

enum sp_rc sp_der_enter(
    struct sp_der_stream *s, uint8_t tag, const char *what, uint64_t *content, struct sp_err *err)
{
    uint8_t found = 0;
    size_t header = 0, len = 0;
    if (look(s, what, &found, &header, &len, err) != SP_OK)
        return SP_FAIL;
    if (found != tag)
        return sp_err_set(err, "where its %s should begin there is something else", what);
    s->at += header;
    *content = len;
    return SP_OK;
}

enum sp_rc sp_der_item(struct sp_der_stream *s, const char *what, struct sp_der_item *out, struct sp_err *err)
{
    size_t header = 0, len = 0;
    if (sp_der_here(s, out))
        return SP_OK;
    if (look(s, what, &out->tag, &header, &len, err) != SP_OK)
        return SP_FAIL;
    if (len > SP_DER_WINDOW - header)
        return sp_err_set(err, "its %s is longer than %zu bytes", what, SP_DER_WINDOW);
    enum sp_rc rc = sp_der_need(s, header + len, err);
    if (rc != SP_OK)
        return rc == SP_EOF ? cut_off(what, err) : SP_FAIL;
    out->start = s->window + s->at;
    out->bytes = out->start + header;
    out->len = len;
    s->at += header + len;
    return SP_OK;
}

enum sp_rc sp_der_peek(
    struct sp_der_stream *s, uint64_t stop, const char *what, uint8_t *tag, struct sp_err *err)
{
    *tag = 0;
    if (sp_der_position(s) >= stop)
        return SP_OK;
    enum sp_rc rc = sp_der_need(s, 1, err);
    if (rc != SP_OK)
        return rc == SP_EOF ? cut_off(what, err) : SP_FAIL;
    *tag = s->window[s->at];
    return SP_OK;
}
