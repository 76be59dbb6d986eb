/* Response heads of a hostile backend. The first byte chooses the method of the request. */
#include "h1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct sp_h1_limits limits = {.header_bytes = 1024, .headers = 16, .target_bytes = 0};
    if (size == 0)
        return 0;
    int method = bytes[0] % 3 == 0 ? SP_METHOD_HEAD : SP_METHOD_GET;
    parse_both_ways(&limits, method, bytes + 1, size - 1);
    const struct sp_head *head = parse_whole(&limits, method, bytes + 1, size - 1);
    if (head == NULL)
        return 0;
    CHECK(head->status >= 100 && head->status <= 599);
    CHECK(head->framing != SP_FRAMING_CLOSE || !head->keep_alive);
    if (method == SP_METHOD_HEAD || head->status < 200 || head->status == 204 || head->status == 304)
        CHECK(head->framing == SP_FRAMING_NONE);
    return 0;
}
