/* W3C Trace Context: "00-<32 lower hex>-<16 lower hex>-<2 lower hex>", neither id all zeros. We take no part in a trace (no
 * span of ours), so what is well-formed goes on as it came, tracestate with it. A later version may have more behind a
 * '-', and "ff" is none. What is malformed would break the trace of whoever comes after us: a new one is begun, sampled. */
#include <stdio.h>

#include "sallyport/headers/forwarding.h"

#include "sallyport/base/text.h"

#define PARENT SP_SLICE("traceparent")
#define STATE  SP_SLICE("tracestate")

/* version, trace id, parent id, flags: where each begins and how long it is */
static const struct {
    size_t at, len;
    bool may_be_zero;
} PARTS[] = {{0, 2, true}, {3, SP_TRACE_ID_LEN, false}, {36, 16, false}, {53, 2, true}};
#define LENGTH 55

static bool is_lower_hex(char c)
{
    return sp_is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_good(struct sp_slice s)
{
    if (s.len < LENGTH || (s.len > LENGTH && s.ptr[LENGTH] != '-'))
        return false;
    for (size_t p = 0; p < SP_COUNTOF(PARTS); p++) {
        bool zero = true;
        for (size_t i = PARTS[p].at; i < PARTS[p].at + PARTS[p].len; i++) {
            if (!is_lower_hex(s.ptr[i]))
                return false;
            zero = zero && s.ptr[i] == '0';
        }
        if (zero && !PARTS[p].may_be_zero)
            return false;
        if (p > 0 && s.ptr[PARTS[p].at - 1] != '-')
            return false;
    }
    bool is_first = s.ptr[0] == '0' && s.ptr[1] == '0', is_none = s.ptr[0] == 'f' && s.ptr[1] == 'f';
    return !is_none && (!is_first || s.len == LENGTH);
}

static void begin(const uint64_t random[3], struct sp_trace *out)
{
    char parent[17];
    /* no id is all zeros */
    const uint64_t trace[2] = {random[0], random[1] | 1}, span = random[2] | 1;

    (void)sp_hex(trace, sizeof(trace), out->id);
    (void)snprintf(out->made, sizeof(out->made), "00-%s-%s-01", out->id, sp_hex(&span, sizeof(span), parent));
}

void sp_trace_read(const struct sp_head *head, const uint64_t random[3], struct sp_trace *out)
{
    struct sp_slice value = {NULL, 0};
    size_t count = 0;

    *out = (struct sp_trace){.id = ""};
    for (size_t i = 0; i < head->header_count; i++) {
        if (!sp_slice_equal_nocase(head->headers[i].name, PARENT))
            continue;
        value = head->headers[i].value;
        count++;
    }
    if (count == 0)
        return;
    if (count == 1 && is_good(value))
        memcpy(out->id, value.ptr + PARTS[1].at, SP_TRACE_ID_LEN);
    else
        begin(random, out);
}

bool sp_name_is_trace(struct sp_slice name)
{
    return sp_slice_equal_nocase(name, PARENT) || sp_slice_equal_nocase(name, STATE);
}

bool sp_trace_keeps(const struct sp_trace *trace)
{
    return trace->id[0] != '\0' && trace->made[0] == '\0';
}
