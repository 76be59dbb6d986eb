/* Request heads: any bytes, the same outcome however they are cut, and what the parser promises of a head that
 * it lets through. */
#include "h1_fuzz.h"
#include "sallyport/http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_promises(const struct sp_head *head)
{
    struct sp_fault fault;
    unsigned hosts = 0, lengths = 0, codings = 0;
    CHECK(sp_path_check(head->path, &fault) == SP_OK);
    CHECK(head->query.ptr == NULL || sp_query_check(head->query, &fault) == SP_OK);
    CHECK(sp_host_check(head->host, &fault) == SP_OK);
    for (size_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        CHECK(h->name.len > 0 && h->id == sp_header_id_of(h->name));
        hosts += h->id == SP_HDR_HOST;
        lengths += h->id == SP_HDR_CONTENT_LENGTH;
        codings += h->id == SP_HDR_TRANSFER_ENCODING;
        for (size_t j = 0; j < h->name.len; j++)
            CHECK(h->name.ptr[j] > 0x20 && strchr(":_.(){}[]<>@,;\"\\/?=\x7f", h->name.ptr[j]) == NULL);
        for (size_t j = 0; j < h->value.len; j++)
            CHECK(h->value.ptr[j] == '\t' || ((uint8_t)h->value.ptr[j] >= 0x20 && h->value.ptr[j] != 0x7f));
    }
    CHECK(hosts == 1 && lengths + codings <= 1);
    CHECK((head->framing == SP_FRAMING_CHUNKED) == (codings == 1));
    CHECK((head->framing == SP_FRAMING_LENGTH) == (lengths == 1));
    CHECK(head->method != SP_METHOD_CONNECT && head->method_text.len > 0 && head->method_text.len <= 32);
    CHECK(head->minor == 1 || !head->keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct sp_h1_limits limits = {.header_bytes = 1024, .headers = 16, .target_bytes = 128};
    parse_both_ways(&limits, -1, bytes, size);
    const struct sp_head *head = parse_whole(&limits, -1, bytes, size);
    if (head != NULL)
        check_promises(head);
    return 0;
}
