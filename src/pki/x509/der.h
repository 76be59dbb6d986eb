/* DER, as much of it as a CRL is made of, read where it lies. Two readers: of bytes that are there (struct sp_der), and of
 * bytes that come in pieces and are let go once read (struct sp_der_stream), so that a CRL of tens of megabytes is
 * never in memory as a whole. Definite lengths of at most four bytes; single-byte tags. Pure: no clock, no log; a
 * stream reads through a function that it is given. Private to `pki`. */
#ifndef SP_SRC_PKI_DER_H
#define SP_SRC_PKI_DER_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

enum {
    SP_DER_BOOLEAN = 0x01,
    SP_DER_INTEGER = 0x02,
    SP_DER_BIT_STRING = 0x03,
    SP_DER_OCTETS = 0x04,
    SP_DER_OID = 0x06,
    SP_DER_ENUMERATED = 0x0a,
    SP_DER_UTC_TIME = 0x17,
    SP_DER_GENERALIZED_TIME = 0x18,
    SP_DER_SEQUENCE = 0x30,
};

/* What is left to read. */
struct sp_der {
    const uint8_t *p, *end;
};

struct sp_der_item {
    const uint8_t *start; /* of the header */
    const uint8_t *bytes; /* of the content */
    size_t len;           /* of the content */
    uint8_t tag;
};

static inline struct sp_der sp_der_of(const struct sp_der_item *i)
{
    return (struct sp_der){i->bytes, i->bytes + i->len};
}

/* Tag and length of what begins at `p`. SP_AGAIN: they are cut off. SP_FAIL: not DER that is read here. */
SP_MUST_USE enum sp_rc sp_der_header(
    const uint8_t *p, const uint8_t *end, uint8_t *tag, size_t *header, size_t *content);
/* The next element, whole, and d->p behind it. */
SP_MUST_USE bool sp_der_next(struct sp_der *d, struct sp_der_item *out);
/* The same, done on the spot for what is short, as almost everything in a CRL is. */
static inline bool sp_der_next_short(struct sp_der *d, struct sp_der_item *out)
{
    const uint8_t *p = d->p;
    size_t have = (size_t)(d->end - p);
    if (have < 2 || (p[0] & 0x1f) == 0x1f || p[1] >= 0x80 || have - 2 < p[1])
        return sp_der_next(d, out);
    *out = (struct sp_der_item){.start = p, .bytes = p + 2, .len = p[1], .tag = p[0]};
    d->p = p + 2 + p[1];
    return true;
}
/* The same if its tag is `tag`; else false and nothing is read. */
SP_MUST_USE bool sp_der_take(struct sp_der *d, uint8_t tag, struct sp_der_item *out);
/* UTCTime as YYMMDDHHMMSSZ or GeneralizedTime as YYYYMMDDHHMMSSZ (RFC 5280 §5.1.2.4), to seconds since 1970. */
SP_MUST_USE bool sp_der_time(const struct sp_der_item *i, int64_t *out);

/* Of a UTCTime that was read; all zero before the first. */
struct sp_der_hour {
    uint8_t digits[8]; /* YYMMDDHH */
    int64_t begins;    /* in seconds since 1970 */
};

/* The same for times of which many lie in the hour of the one before, as those of a list that grows do. */
SP_MUST_USE bool sp_der_time_next(const struct sp_der_item *i, struct sp_der_hour *hour, int64_t *out);
/* The content of an INTEGER as sign and magnitude without leading zeros. `room` bytes at `out`; false when it is
 * empty or does not fit. */
SP_MUST_USE bool sp_der_integer(
    const struct sp_der_item *i, uint8_t *out, size_t room, bool *negative, size_t *len);

/* ---- in pieces ---- */

/* At most so much is held at once, so no element but the two outermost and the list of entries may be longer. */
#define SP_DER_WINDOW ((size_t)1 << 20)

struct sp_der_stream {
    /* Reads up to `room` bytes: SP_OK with *got > 0, SP_EOF at the end, SP_FAIL with `err` set. */
    enum sp_rc (*more)(void *arg, uint8_t *into, size_t room, size_t *got, struct sp_err *err);
    void *arg;
    /* Is shown every byte that was read while it is set; may fail (no memory). */
    bool (*seen)(void *arg, const uint8_t *bytes, size_t len);
    void *seen_arg;
    size_t seen_from; /* in the window: what has not been shown yet */
    uint8_t *window;  /* owned; allocated at the first read */
    size_t at, end, room;
    uint64_t base;  /* position of window[0] in the whole */
    uint64_t whole; /* more than so many bytes will not come; 0: that is not known */
    bool over;      /* nothing comes after window[end] */
};

/* Frees the window. */
void sp_der_stream_close(struct sp_der_stream *s);
static inline uint64_t sp_der_position(const struct sp_der_stream *s)
{
    return s->base + s->at;
}
/* At least `n` bytes at window + at. SP_EOF: it ends before. */
SP_MUST_USE enum sp_rc sp_der_need(struct sp_der_stream *s, size_t n, struct sp_err *err);
/* From now on, `seen` is shown what is read from the position at. NULL: no more, after it has been shown all. */
SP_MUST_USE enum sp_rc sp_der_show(struct sp_der_stream *s,
    bool (*seen)(void *arg, const uint8_t *bytes, size_t len), void *arg, struct sp_err *err);
/* The header of the next element, the position behind it; the content may be longer than the window. */
SP_MUST_USE enum sp_rc sp_der_enter(
    struct sp_der_stream *s, uint8_t tag, const char *what, uint64_t *content, struct sp_err *err);
/* The next element as a whole, the position behind it. Valid until the next call. */
SP_MUST_USE enum sp_rc sp_der_item(
    struct sp_der_stream *s, const char *what, struct sp_der_item *out, struct sp_err *err);
/* The same if all of it is in the window by now; else false and nothing is read. */
SP_MUST_USE static inline bool sp_der_here(struct sp_der_stream *s, struct sp_der_item *out)
{
    if (s->at == s->end)
        return false;
    struct sp_der d = {s->window + s->at, s->window + s->end};
    bool is_here = sp_der_next_short(&d, out);
    s->at = (size_t)(d.p - s->window);
    return is_here;
}
/* The tag of what comes next, or 0 at `stop` or the end. */
SP_MUST_USE enum sp_rc sp_der_peek(
    struct sp_der_stream *s, uint64_t stop, const char *what, uint8_t *tag, struct sp_err *err);

#endif
