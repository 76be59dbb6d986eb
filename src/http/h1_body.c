/* Where a body ends. Bytes in, runs of body out; nothing is copied and nothing kept but a few numbers, so a
 * body may arrive in any pieces.
 *
 * The chunk reader, byte by byte outside of data (CH_DATA takes whole runs):
 *
 *   SIZE --';'--> EXT --CR--> SIZE_LF --LF--> DATA --all--> DATA_CR --CR--> DATA_LF --LF--> SIZE
 *     \-----------CR----------^   \
 *                                  \--LF after size 0--> LINE --name--> NAME --':'--> VALUE --CR--> VALUE_LF --LF--> LINE
 *                                                           \--CR--> END_LF --LF--> END
 *
 * Refused, because others read it differently: a sign, "0x", a blank or more than 16 digits in a size, a bare
 * CR or LF anywhere, control bytes in extensions, anything but CRLF after data, folded or malformed trailers. */
#include "sallyport/http/h1_parse.h"
#include "syntax.h"

#define CHUNK_LINE_MAX 256
#define TRAILERS_MAX   8192

enum {
    CH_SIZE,
    CH_EXT,
    CH_SIZE_LF,
    CH_DATA,
    CH_DATA_CR,
    CH_DATA_LF,
    CH_LINE,
    CH_NAME,
    CH_VALUE,
    CH_VALUE_LF,
    CH_END_LF,
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

/* A byte of the trailer section, the first of a line included. */
static enum sp_rc trailer_byte(struct sp_h1_body *b, char c, struct sp_fault *fault)
{
    switch (b->state) {
    case CH_LINE:
        if (c == '\r') {
            b->state = CH_END_LF;
            return SP_OK;
        }
        b->state = CH_NAME;
        return http_class(c) & CC_TOKEN ? SP_OK : bad_chunk(fault, "a trailer does not begin with a name");
    case CH_NAME:
        if (c == ':')
            b->state = CH_VALUE;
        else if (!(http_class(c) & CC_TOKEN))
            return bad_chunk(fault, "a byte that no trailer name holds");
        return SP_OK;
    default:
        if (c == '\r')
            b->state = CH_VALUE_LF;
        else if (!(http_class(c) & CC_VALUE))
            return bad_chunk(fault, "a control byte in a trailer");
        return SP_OK;
    }
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
        return expect_byte(b, c, '\n', b->left > 0 ? CH_DATA : CH_LINE, "a bare CR in a chunk line", fault);
    case CH_DATA_CR:
        return expect_byte(b, c, '\r', CH_DATA_LF, "a chunk is longer than its size", fault);
    case CH_DATA_LF:
        b->overhead = 0;
        return expect_byte(b, c, '\n', CH_SIZE, "a bare CR after a chunk", fault);
    case CH_VALUE_LF:
        return expect_byte(b, c, '\n', CH_LINE, "a bare CR in a trailer", fault);
    case CH_END_LF:
        return expect_byte(b, c, '\n', CH_END, "a bare CR after the last chunk", fault);
    default:
        if (b->overhead > TRAILERS_MAX)
            return bad_chunk(fault, "trailers of more than 8 KiB");
        return trailer_byte(b, c, fault);
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

static enum sp_rc next_chunked(
    struct sp_h1_body *b, struct sp_slice in, size_t *used, struct sp_slice *data, struct sp_fault *fault)
{
    for (size_t i = 0; i < in.len;) {
        if (b->state == CH_DATA) {
            *data = take_run(b, sp_slice_sub(in, i, in.len));
            if (b->left == 0)
                b->state = CH_DATA_CR;
            *used = i + data->len;
            return SP_OK;
        }
        if (framing_byte(b, in.ptr[i++], fault) != SP_OK)
            return SP_FAIL;
        if (b->state == CH_END) {
            *used = i;
            return SP_EOF;
        }
    }
    *used = in.len;
    return SP_AGAIN;
}

enum sp_rc sp_h1_body_next(
    struct sp_h1_body *b, struct sp_slice in, size_t *used, struct sp_slice *data, struct sp_fault *fault)
{
    *used = 0;
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
