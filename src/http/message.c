/* The vocabulary of HTTP as tables: methods, the fields that we must know, status phrases; and lists in field
 * values. Pure. Every look-up is a switch on the length and at most two comparisons, since each field of each
 * message goes through here. */
#include "sallyport/http/message.h"

#include "syntax.h"

static bool text_is(struct sp_slice s, const char *literal)
{
    return memcmp(s.ptr, literal, s.len) == 0; /* the caller has switched on the length */
}

enum sp_method sp_method_of(struct sp_slice text)
{
    switch (text.len) {
    case 3:
        if (text_is(text, "GET"))
            return SP_METHOD_GET;
        return text_is(text, "PUT") ? SP_METHOD_PUT : SP_METHOD_OTHER;
    case 4:
        if (text_is(text, "POST"))
            return SP_METHOD_POST;
        return text_is(text, "HEAD") ? SP_METHOD_HEAD : SP_METHOD_OTHER;
    case 5:
        if (text_is(text, "PATCH"))
            return SP_METHOD_PATCH;
        return text_is(text, "TRACE") ? SP_METHOD_TRACE : SP_METHOD_OTHER;
    case 6:
        return text_is(text, "DELETE") ? SP_METHOD_DELETE : SP_METHOD_OTHER;
    case 7:
        if (text_is(text, "OPTIONS"))
            return SP_METHOD_OPTIONS;
        return text_is(text, "CONNECT") ? SP_METHOD_CONNECT : SP_METHOD_OTHER;
    default:
        return SP_METHOD_OTHER;
    }
}

bool sp_method_is_idempotent(enum sp_method m)
{
    switch (m) {
    case SP_METHOD_GET:
    case SP_METHOD_HEAD:
    case SP_METHOD_PUT:
    case SP_METHOD_DELETE:
    case SP_METHOD_OPTIONS:
    case SP_METHOD_TRACE:
        return true;
    case SP_METHOD_OTHER:
    case SP_METHOD_POST:
    case SP_METHOD_PATCH:
    case SP_METHOD_CONNECT:
        return false;
    }
    return false;
}

struct known_header {
    const char *name;
    unsigned len, flags;
};
static const struct known_header known_headers[SP_HDR_COUNT] = {[SP_HDR_OTHER] = {"", 0, 0},
#define X(id, name, flags) [SP_HDR_##id] = {name, sizeof(name) - 1, flags},
    SP_KNOWN_HEADERS(X)
#undef X
};

/* Length and first letter single out one candidate. A field that SP_KNOWN_HEADERS gains needs its case here;
 * the unit test looks every known name up. */
static enum sp_header_id header_candidate(size_t len, char first)
{
#define KEY(length, letter) ((length) << 8 | (letter))
    if (len > 32)
        return SP_HDR_OTHER;
    switch (KEY((unsigned)len, (unsigned char)(first | 0x20))) {
    case KEY(2, 't'):
        return SP_HDR_TE;
    case KEY(4, 'd'):
        return SP_HDR_DATE;
    case KEY(4, 'h'):
        return SP_HDR_HOST;
    case KEY(4, 'v'):
        return SP_HDR_VARY;
    case KEY(6, 'e'):
        return SP_HDR_EXPECT;
    case KEY(7, 't'):
        return SP_HDR_TRAILER;
    case KEY(7, 'u'):
        return SP_HDR_UPGRADE;
    case KEY(10, 'c'):
        return SP_HDR_CONNECTION;
    case KEY(10, 'e'):
        return SP_HDR_EARLY_DATA;
    case KEY(10, 'k'):
        return SP_HDR_KEEP_ALIVE;
    case KEY(12, 'x'):
        return SP_HDR_X_REQUEST_ID;
    case KEY(12, 'm'):
        return SP_HDR_MAX_FORWARDS;
    case KEY(14, 'c'):
        return SP_HDR_CONTENT_LENGTH;
    case KEY(14, 'h'):
        return SP_HDR_HTTP2_SETTINGS;
    case KEY(16, 'p'):
        return SP_HDR_PROXY_CONNECTION;
    case KEY(17, 't'):
        return SP_HDR_TRANSFER_ENCODING;
    case KEY(18, 'p'):
        return SP_HDR_PROXY_AUTHENTICATE;
    case KEY(19, 'p'):
        return SP_HDR_PROXY_AUTHORIZATION;
    default:
        return SP_HDR_OTHER;
    }
#undef KEY
}

enum sp_header_id sp_header_id_of(struct sp_slice name)
{
    if (name.len == 0)
        return SP_HDR_OTHER;
    enum sp_header_id id = header_candidate(name.len, name.ptr[0]);
    if (id == SP_HDR_OTHER)
        return SP_HDR_OTHER;
    const char *want = known_headers[id].name;
    for (size_t i = 0; i < name.len; i++) {
        if (sp_lower(name.ptr[i]) != want[i])
            return SP_HDR_OTHER;
    }
    return id;
}

unsigned sp_header_flags(enum sp_header_id id)
{
    return id < SP_HDR_COUNT ? known_headers[id].flags : 0;
}

const struct sp_header *sp_head_find(const struct sp_head *head, enum sp_header_id id)
{
    for (size_t i = 0; i < head->header_count; i++) {
        if (head->headers[i].id == id)
            return &head->headers[i];
    }
    return NULL;
}

/* IANA's registry, without the codes that it marks unused or obsolete. */
static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

bool sp_method_is_token(struct sp_slice text)
{
    return http_is_token(text);
}

bool sp_field_list_next(struct sp_slice *rest, struct sp_slice *member)
{
    while (http_list_next(rest, member)) {
        if (member->len > 0)
            return true;
    }
    return false;
}

const char *sp_status_phrase(unsigned status)
{
    size_t low = 0, high = SP_COUNTOF(phrases);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (phrases[mid].status < status)
            low = mid + 1;
        else
            high = mid;
    }
    return low < SP_COUNTOF(phrases) && phrases[low].status == status ? phrases[low].phrase : "";
}
