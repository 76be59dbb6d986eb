/* Bodies: the first byte chooses the framing, the second the length. Whole, in pieces, and with what is certain to be data not
 * looked at (as large reads do it), the same data, the same end. */
#include <stdlib.h>

#include "sallyport/http/h1_parse.h"

#define CHECK(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct result {
    enum sp_rc rc;
    size_t used, len, trailers;
    char data[4096];
    const char *detail;
};

/* Whatever comes behind a body, its fields are clean, inside it, and none of them frames a message. */
static void take_trailers(struct sp_slice in, struct sp_slice lines, struct result *r)
{
    struct sp_header items[SP_TRAILERS_MAX];
    r->trailers = sp_h1_trailers(lines, items);
    for (size_t i = 0; i < r->trailers; i++) {
        CHECK(items[i].name.ptr >= in.ptr && items[i].value.ptr + items[i].value.len <= in.ptr + in.len);
        CHECK(sp_method_is_token(items[i].name) && items[i].id != SP_HDR_CONTENT_LENGTH);
        CHECK(!(sp_header_flags(items[i].id) & SP_HDR_HOP));
        for (size_t j = 0; j < items[i].value.len; j++)
            CHECK(items[i].value.ptr[j] != '\r' && items[i].value.ptr[j] != '\n' &&
                  items[i].value.ptr[j] != '\0');
    }
}

/* Bytes that are certain to be data go by unseen; true if there were some. */
static bool pass(struct sp_h1_body *b, const char *in, size_t have, struct result *r)
{
    size_t n = sp_h1_body_certain(b);
    if (n > have - r->used)
        n = have - r->used;
    memcpy(r->data + r->len, in + r->used, n);
    sp_h1_body_pass(b, n);
    r->used += n;
    r->len += n;
    return n > 0;
}

enum way { WHOLE, PIECES, PASSING };

static void run(
    enum sp_framing framing, uint64_t length, const char *in, size_t size, enum way way, struct result *r)
{
    struct sp_h1_body b;
    struct sp_fault fault;
    size_t have = way == WHOLE ? size : 0;
    sp_h1_body_init(&b, framing, length);
    r->used = r->len = r->trailers = 0;
    r->detail = "";
    for (;;) {
        if (way == PASSING && pass(&b, in, have, r))
            continue;
        struct sp_slice data = {NULL, 0}, part = {in + r->used, have - r->used};
        size_t used = SIZE_MAX;
        r->rc = sp_h1_body_next(&b, part, &used, &data, &fault);
        if (r->rc == SP_FAIL) {
            CHECK(fault.status == 400 && fault.reason == SP_REFUSAL_bad_chunk);
            r->detail = fault.detail;
            return;
        }
        CHECK(used <= part.len);
        r->used += used;
        if (r->rc == SP_OK) {
            CHECK(data.len > 0 && data.ptr >= part.ptr && data.ptr + data.len == part.ptr + used);
            memcpy(r->data + r->len, data.ptr, data.len);
            r->len += data.len;
        }
        if (r->rc == SP_EOF) {
            take_trailers(part, data, r);
            CHECK(b.total == r->len && framing != SP_FRAMING_CLOSE);
            return;
        }
        if (r->rc == SP_AGAIN) {
            CHECK(used == part.len || framing == SP_FRAMING_CHUNKED); /* trailers are offered again */
            if (have == size)
                return;
            size_t step = 1 + (uint8_t)in[have] % 5;
            have = step > size - have ? size : have + step;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct result whole, pieces;
    if (size < 2 || size > sizeof(whole.data))
        return 0;
    enum sp_framing framing = (enum sp_framing)(bytes[0] % 4);
    const char *in = (const char *)bytes + 2;
    run(framing, bytes[1], in, size - 2, WHOLE, &whole);
    for (enum way way = PIECES; way <= PASSING; way++) {
        run(framing, bytes[1], in, size - 2, way, &pieces);
        CHECK(whole.rc == pieces.rc && whole.len == pieces.len &&
              memcmp(whole.data, pieces.data, whole.len) == 0);
        CHECK(strcmp(whole.detail, pieces.detail) == 0 &&
              (whole.rc == SP_FAIL || (whole.used == pieces.used && whole.trailers == pieces.trailers)));
    }
    return 0;
}
