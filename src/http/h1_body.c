/* Where a body ends. Bytes in, runs of body out; nothing is copied and nothing kept but a few numbers, so a
 * body may arrive in any pieces.
 *
 * The chunk reader, byte by byte outside of data (CH_DATA takes whole runs):
 *
 *   SIZE --';'--> EXT --CR--> SIZE_LF --LF--> DATA --all--> DATA_CR --CR--> DATA_LF --LF--> SIZE
 *     \-----------CR----------^   \
 *                                  \--LF after size 0--> TRAILERS --empty line--> END
 *
 * TRAILERS is h1_trailers.c. Refused, because others read it differently: a sign, "0x", a blank or more than 16 digits in a
 * size, a bare CR or LF anywhere, control bytes in extensions, anything but CRLF after data, folded or malformed
 * trailers. */
#include "h1_trailers.h"
#include "syntax.h"

#define CHUNK_LINE_MAX 256

enum {
    CH_SIZE,
    CH_EXT,
    CH_SIZE_LF,
    CH_DATA,
    CH_DATA_CR,
    CH_DATA_LF,
    CH_TRAILERS,
    CH_END,
};

void sp_h1_body_init(struct sp_h1_body *b, enum sp_framing framing, uint64_t content_length)
{
    *b = (struct sp_h1_body){.framing = framing, .state = CH_SIZE};
    if (framing == SP_FRAMING_LENGTH)
        b->left = content_length;
}

static enum sp_rc bad_chunk(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_chunk, 400, detail);
}

/* After the CR of a chunk line, or a byte of its size. `overhead` counts the bytes of the line, so that 0 is
 * "no digit yet". */
static enum sp_rc size_byte(struct sp_h1_body *b, char c, struct sp_fault *fault)
{
    int digit = http_hex(c);
    if (digit >= 0) {
        if (b->overhead > 16)
            return bad_chunk(fault, "a chunk size of more than 16 digits");
        b->left = b->left << 4 | (unsigned)digit;
        return SP_OK;
    }
    if (b->overhead == 1)
        return bad_chunk(fault, "a chunk size without digits");
    if (c != ';' && c != '\r')
        return bad_chunk(fault, "a byte that no chunk size holds");
    if (b->left > INT64_MAX || b->total > INT64_MAX - b->left)
        return bad_chunk(fault, "a chunk size out of range");
    b->state = c == ';' ? CH_EXT : CH_SIZE_LF;
    return SP_OK;
}

static enum sp_rc ext_byte(struct sp_h1_body *b, char c, struct sp_fault *fault)
{
    if (c == '\r')
        b->state = CH_SIZE_LF;
    else if (c != '\t' && c != ' ' && !(http_class(c) & CC_VISIBLE))
        return bad_chunk(fault, "a byte that no chunk extension holds");
    return SP_OK;
}

static enum sp_rc expect_byte(
    struct sp_h1_body *b, char c, char want, int next, const char *detail, struct sp_fault *fault)
{
    if (c != want)
        return bad_chunk(fault, detail);
    b->state = (uint8_t)next;
    return SP_OK;
}

/* One byte of framing. */
static enum sp_rc framing_byte(struct sp_h1_body *b, char c, struct sp_fault *fault)
{
    b->overhead++;
    switch (b->state) {
    case CH_SIZE:
    case CH_EXT:
        if (b->overhead > CHUNK_LINE_MAX)
            return bad_chunk(fault, "a chunk line of more than 256 bytes");
        return b->state == CH_SIZE ? size_byte(b, c, fault) : ext_byte(b, c, fault);
    case CH_SIZE_LF:
        b->overhead = 0;
        return expect_byte(
            b, c, '\n', b->left > 0 ? CH_DATA : CH_TRAILERS, "a bare CR in a chunk line", fault);
    case CH_DATA_CR:
        return expect_byte(b, c, '\r', CH_DATA_LF, "a chunk is longer than its size", fault);
    default: /* CH_DATA_LF */
        b->overhead = 0;
        return expect_byte(b, c, '\n', CH_SIZE, "a bare CR after a chunk", fault);
    }
}

/* A run of body at the front of `rest`, at most what is left of the body or chunk. */
static struct sp_slice take_run(struct sp_h1_body *b, struct sp_slice rest)
{
    if (rest.len > b->left)
        rest.len = (size_t)b->left;
    b->left -= rest.len;
    b->total += rest.len;
    return rest;
}

/* The end of a chunk's data, whoever read it. */
static void end_chunk(struct sp_h1_body *b)
{
    if (b->state == CH_DATA && b->left == 0)
        b->state = CH_DATA_CR;
}

static enum sp_rc next_chunked(
    struct sp_h1_body *b, struct sp_slice in, size_t *used, struct sp_slice *data, struct sp_fault *fault)
{
    for (size_t i = 0; i < in.len;) {
        if (b->state == CH_DATA) {
            *data = take_run(b, sp_slice_sub(in, i, in.len));
            end_chunk(b);
            *used = i + data->len;
            return SP_OK;
        }
        if (b->state == CH_TRAILERS) {
            enum sp_rc rc = h1_next_trailers(b, sp_slice_sub(in, i, in.len), used, data, fault);
            *used += i;
            if (rc == SP_EOF)
                b->state = CH_END;
            return rc;
        }
        if (framing_byte(b, in.ptr[i++], fault) != SP_OK)
            return SP_FAIL;
    }
    *used = in.len;
    return SP_AGAIN;
}

enum sp_rc sp_h1_body_next(
    struct sp_h1_body *b, struct sp_slice in, size_t *used, struct sp_slice *data, struct sp_fault *fault)
{
    *used = 0;
    *data = (struct sp_slice){NULL, 0};
    switch (b->framing) {
    case SP_FRAMING_NONE:
        return SP_EOF;
    case SP_FRAMING_CHUNKED:
        return b->state == CH_END ? SP_EOF : next_chunked(b, in, used, data, fault);
    case SP_FRAMING_LENGTH:
        if (b->left == 0)
            return SP_EOF;
        break;
    case SP_FRAMING_CLOSE:
        b->left = UINT64_MAX;
        break;
    }
    if (in.len == 0)
        return SP_AGAIN;
    *data = take_run(b, in);
    *used = data->len;
    return SP_OK;
}

size_t sp_h1_body_certain(const struct sp_h1_body *b)
{
    uint64_t left = b->left;

    if (b->framing == SP_FRAMING_CLOSE)
        left = UINT64_MAX;
    else if (b->framing == SP_FRAMING_CHUNKED && b->state != CH_DATA)
        left = 0;
    return left < SIZE_MAX ? (size_t)left : SIZE_MAX;
}

void sp_h1_body_pass(struct sp_h1_body *b, size_t n)
{
    SP_ASSERT(n <= sp_h1_body_certain(b));
    if (b->framing == SP_FRAMING_CLOSE)
        b->left = UINT64_MAX;
    b->left -= n;
    b->total += n;
    end_chunk(b);
}
