/* What `balance: hash` goes by. The key is the same in every process, so that replicas and restarts send the same caller to the
 * same endpoint; who knows it can choose values that meet on one endpoint, as he can by sending one value always.
 *
 * A caller is his subject and his names as a set: what stays when his certificate is renewed. */
#include "sallyport/base/hash.h"

#include "proxy/proxy_impl.h"

enum tag { TAG_SUBJECT, TAG_URI, TAG_DNS, TAG_EMAIL, TAG_IP, TAG_ADDRESS, TAG_VALUE };

static uint64_t hash(enum tag tag, struct sp_slice bytes)
{
    static const struct sp_hash_key KEY = {{UINT64_C(0x73616c6c79706f72), UINT64_C(0x742068617368696e)}};

    return sp_hash(&KEY, tag, bytes);
}

static uint64_t of_names(enum tag tag, const struct sp_slices *names)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < names->count; i++)
        sum += hash(tag, names->items[i]);
    return sum;
}

/* Without the port. All who come by a unix socket are one. */
static uint64_t of_address(const struct sp_addr *a)
{
    const void *bytes = "";
    size_t len = 0;

    if (a->len > 0 && a->u.sa.sa_family == AF_INET) {
        bytes = &a->u.in4.sin_addr;
        len = sizeof(a->u.in4.sin_addr);
    } else if (a->len > 0 && a->u.sa.sa_family == AF_INET6) {
        bytes = &a->u.in6.sin6_addr;
        len = sizeof(a->u.in6.sin6_addr);
    }
    return hash(TAG_ADDRESS, (struct sp_slice){bytes, len});
}

/* Somebody anonymous is known by his address alone. */
static uint64_t of_caller(const struct sp_handover *who)
{
    const struct sp_identity *id = who->identity;

    if (id == NULL)
        return of_address(&who->source);
    return hash(TAG_SUBJECT, id->subject) + of_names(TAG_URI, &id->uris) + of_names(TAG_DNS, &id->dns_names) +
           of_names(TAG_EMAIL, &id->emails) + of_names(TAG_IP, &id->ips);
}

/* The one field of that name; NULL: there is none, or more than one. */
static const struct sp_header *single(const struct sp_head *head, const char *name)
{
    const struct sp_header *found = NULL;

    for (size_t i = 0; i < head->header_count; i++) {
        if (!sp_slice_equal_nocase(head->headers[i].name, sp_slice_of(name)))
            continue;
        if (found != NULL)
            return NULL;
        found = &head->headers[i];
    }
    return found;
}

uint64_t sp_hash_of(
    const struct sp_handover *who, const struct sp_head *head, const struct sp_config_upstream *u)
{
    const struct sp_header *field = NULL;

    if (u->hash_by == SP_HASH_ADDRESS)
        return of_address(&who->source);
    if (u->hash_by == SP_HASH_HEADER && head != NULL)
        field = single(head, u->hash_header);
    return field != NULL ? hash(TAG_VALUE, field->value) : of_caller(who);
}
