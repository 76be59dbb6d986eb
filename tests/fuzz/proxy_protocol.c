/* PROXY protocol headers: any bytes read as one, and cut short as well; what was read is written in both versions, and read again
 * it says the same. The whole input is also a certificate and names to be written, whatever its length. */
#include <errno.h>

#include "sallyport/io/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_end(const struct sp_addr *a, const struct sp_addr *b)
{
    return a->len == b->len && (a->len == 0 || sp_addr_equal(a, b));
}

static void read_again(struct sp_slice in, const struct sp_proxy_about *about, unsigned version)
{
    struct sp_proxy_header again;
    size_t used = 0;
    bool both = about->source.len != 0 && about->destination.len != 0;
    if (in.len > SP_PROXY_READ_MAX)
        return;
    SP_ASSERT(sp_proxy_parse(in, &again, &used, NULL) == SP_OK);
    SP_ASSERT(used == in.len && again.version == version && again.is_local == !both);
    SP_ASSERT(!both ||
              (same_end(&again.source, &about->source) && same_end(&again.destination, &about->destination)));
    if (version == 2 && both) {
        SP_ASSERT(
            sp_slice_equal(again.authority, about->authority) && sp_slice_equal(again.alpn, about->alpn));
        SP_ASSERT(sp_slice_equal(again.unique_id, about->unique_id));
    }
}

static void write_all(const struct sp_proxy_about *about)
{
    char line[SP_PROXY_V1_MAX];
    struct sp_buf out = {0};
    struct sp_err err = {0};
    size_t len = sp_proxy_write_v1(about, line);
    read_again((struct sp_slice){line, len}, about, 1);
    if (sp_proxy_write_v2(about, &out, &err) == SP_OK)
        read_again(sp_buf_slice(&out), about, 2);
    else
        SP_ASSERT(err.sys == EMSGSIZE && out.len == 0);
    sp_buf_free(&out);
}

/* Nothing that is a part of a whole header is refused or taken for one. */
static void cut_short(struct sp_slice whole)
{
    for (size_t cut = 0; cut < whole.len; cut++) {
        struct sp_proxy_header header;
        size_t used = 0;
        SP_ASSERT(sp_proxy_parse(sp_slice_sub(whole, 0, cut), &header, &used, NULL) == SP_AGAIN);
        SP_ASSERT(used > cut && used <= whole.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_slice in = {(const char *)data, size};
    struct sp_proxy_header header;
    struct sp_err err = {0};
    size_t used = 0;
    enum sp_rc rc = sp_proxy_parse(in, &header, &used, &err);
    struct sp_proxy_about about = {.has_tls = true,
        .has_certificate = size % 2 == 0,
        .common_name = in,
        .certificate = in,
        .tls_version = SP_SLICE("TLSv1.3")};

    SP_ASSERT((rc == SP_FAIL) == (err.text[0] != '\0'));
    SP_ASSERT(rc != SP_AGAIN || used > size);
    SP_ASSERT(rc == SP_FAIL || sp_proxy_is_likely(in));
    if (rc == SP_OK) {
        SP_ASSERT(used > 0 && used <= size && used <= SP_PROXY_READ_MAX);
        cut_short(sp_slice_sub(in, 0, used));
        about.source = header.source;
        about.destination = header.destination;
        about.authority = header.authority;
        about.alpn = header.alpn;
        about.unique_id = header.unique_id;
    }
    write_all(&about);
    return 0;
}
