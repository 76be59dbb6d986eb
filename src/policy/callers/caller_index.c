/* One hash table from what an identity has to the entries that ask for it (see caller_index.h). Its keys are hashes of 64 bits,
 * of which 32 are kept: entries that share one by chance are looked at and do not hold.
 *
 * One row a field: what it is found by (`post`) stands beside what an identity leads to (`probe`), since one is nothing without the
 * other. A URI with a wildcard is found in the tree of segments instead. */
#include "policy/callers/caller_index_impl.h"

#include "sallyport/http/path.h"

/* What kind of key it is; the first argument of every hash. */
enum tag {
    TAG_URI = 1,
    TAG_URI_PATTERN, /* only counted */
    TAG_DNS,
    TAG_DNS_BELOW,
    TAG_EMAIL,
    TAG_DOMAIN,
    TAG_SUBJECT,
    TAG_ISSUER,
    TAG_SERIAL,
    TAG_FINGERPRINT,
    TAG_SPKI,
    TAG_POLICY,
    TAG_QC_TYPE,
    TAG_PSD2_ROLE,
    TAG_PSD2_AUTHORITY,
    TAG_ANY,
    TAG_SET,
    TAG_IP4 = 0x100, /* and the bits of the prefix */
    TAG_IP6 = 0x200,
};

/* ---- hashes ---- */

struct text_buffer {
    char bytes[SP_HOST_MAX];
};

/* Of a longer one its front: what shares it is looked at. */
static struct sp_slice lowered(struct sp_slice s, struct text_buffer *buffer)
{
    size_t len = s.len < sizeof buffer->bytes ? s.len : sizeof buffer->bytes;
    for (size_t i = 0; i < len; i++)
        buffer->bytes[i] = sp_lower(s.ptr[i]);
    return (struct sp_slice){buffer->bytes, len};
}

static uint64_t hash_attr(
    const struct sp_hash_key *key, enum tag tag, struct sp_slice type, struct sp_slice value)
{
    return sp_hash(key, sp_hash(key, tag, type), value);
}

static uint64_t hash_number(const struct sp_hash_key *key, enum tag tag, uint32_t number)
{
    return sp_hash(key, (uint64_t)number << 16 | tag, (struct sp_slice){NULL, 0});
}

static uint64_t hash_bytes(const struct sp_hash_key *key, enum tag tag, const void *bytes, size_t len)
{
    return sp_hash(key, tag, (struct sp_slice){bytes, len});
}

/* Of the first `bits` of an address. */
static uint64_t hash_prefix(const struct sp_hash_key *key, const uint8_t *bytes, size_t len, unsigned bits)
{
    uint8_t prefix[16] = {0};
    memcpy(prefix, bytes, bits / 8);
    if (bits % 8 != 0)
        prefix[bits / 8] = (uint8_t)(bytes[bits / 8] & 0xff << (8 - bits % 8));
    return hash_bytes(key, (enum tag)((len == 4 ? TAG_IP4 : TAG_IP6) + bits), prefix, len);
}

static uint64_t hash_email(const struct sp_hash_key *key, struct sp_slice local, struct sp_slice domain)
{
    struct text_buffer buffer;
    uint64_t below = sp_hash(key, TAG_DOMAIN, lowered(domain, &buffer));
    return local.ptr != NULL ? sp_hash(key, below, local) : below;
}

/* ---- what a field is found by ---- */

typedef uint64_t post_field(const struct sp_hash_key *key, const struct sp_field *f);

static uint64_t post_uri(const struct sp_hash_key *key, const struct sp_field *f)
{
    if (f->exact)
        return sp_hash(key, TAG_URI, sp_field_text(f));
    return sp_hash(key, TAG_URI_PATTERN, ((const struct sp_field_uri *)f->of)->text);
}

static uint64_t post_dns(const struct sp_hash_key *key, const struct sp_field *f)
{
    struct sp_slice name = sp_field_text(f);
    if (name.len > 2 && name.ptr[0] == '*')
        return sp_hash(key, TAG_DNS_BELOW, sp_slice_sub(name, 2, name.len));
    return sp_hash(key, TAG_DNS, name);
}

static uint64_t post_email(const struct sp_hash_key *key, const struct sp_field *f)
{
    const struct sp_field_email *email = f->of;
    return hash_email(key, email->pattern.local, email->pattern.domain);
}

static uint64_t post_ip(const struct sp_hash_key *key, const struct sp_field *f)
{
    const struct sp_cidr *cidr = f->of;
    return hash_prefix(key, cidr->bytes, cidr->len, cidr->bits);
}

static uint64_t post_attr(const struct sp_hash_key *key, const struct sp_field *f)
{
    const struct sp_field_attr *attr = f->of;
    return hash_attr(key, f->type == SP_FIELD_SUBJECT ? TAG_SUBJECT : TAG_ISSUER, attr->type, attr->value);
}

static uint64_t post_serial(const struct sp_hash_key *key, const struct sp_field *f)
{
    return sp_hash(key, TAG_SERIAL, sp_field_text(f));
}

static uint64_t post_fingerprint(const struct sp_hash_key *key, const struct sp_field *f)
{
    return hash_bytes(key, TAG_FINGERPRINT, f->of, SP_FIELD_DIGEST);
}

static uint64_t post_spki(const struct sp_hash_key *key, const struct sp_field *f)
{
    return hash_bytes(key, TAG_SPKI, f->of, SP_FIELD_DIGEST);
}

static uint64_t post_policy(const struct sp_hash_key *key, const struct sp_field *f)
{
    return sp_hash(key, TAG_POLICY, sp_field_text(f));
}

static uint64_t post_qc_type(const struct sp_hash_key *key, const struct sp_field *f)
{
    return hash_number(key, TAG_QC_TYPE, f->number);
}

/* One of the roles: who has all has that. */
static uint64_t post_roles(const struct sp_hash_key *key, const struct sp_field *f)
{
    return hash_number(key, TAG_PSD2_ROLE, f->number & (~f->number + 1));
}

static uint64_t post_authority(const struct sp_hash_key *key, const struct sp_field *f)
{
    return sp_hash(key, TAG_PSD2_AUTHORITY, sp_field_text(f));
}

static uint64_t post_any(const struct sp_hash_key *key, const struct sp_field *f)
{
    return hash_number(key, TAG_ANY, f->number);
}

static uint64_t post_set(const struct sp_hash_key *key, const struct sp_field *f)
{
    return hash_number(key, TAG_SET, f->number);
}

/* ---- what an identity leads to ---- */

struct probe {
    const struct sp_caller_index *index;
    const struct sp_identity *id;
    sp_each_entry *each;
    void *arg;
};

static void look_up(const struct probe *p, uint64_t hash)
{
    const struct sp_caller_index *index = p->index;
    size_t i = hash & index->mask;
    for (; index->slots[i].first != 0; i = (i + 1) & index->mask) {
        if (index->slots[i].hash != (uint32_t)(hash >> 32))
            continue;
        for (uint32_t entry = index->slots[i].first; entry != 0; entry = index->next[entry - 1])
            p->each(p->arg, entry - 1);
        return;
    }
}

static void probe_uris(const struct probe *p)
{
    const struct sp_hash_key *key = &p->index->key;
    for (size_t i = 0; i < p->id->uris.count; i++) {
        struct sp_slice uri = p->id->uris.items[i];
        look_up(p, sp_hash(key, TAG_URI, uri));
        const char *colon = uri.len > 0 ? memchr(uri.ptr, ':', uri.len) : NULL;
        size_t authority = colon != NULL ? (size_t)(colon - uri.ptr) + 3 : uri.len;
        const char *path = authority < uri.len ? memchr(uri.ptr + authority, '/', uri.len - authority) : NULL;
        if (path == NULL) /* no authority in front of a path: no wildcard covers it */
            continue;
        size_t head = (size_t)(path - uri.ptr);
        sp_segment_trie_match(
            p->index->uris, sp_slice_sub(uri, 0, head), sp_slice_sub(uri, head, uri.len), p->each, p->arg);
    }
}

static void probe_dns(const struct probe *p)
{
    const struct sp_hash_key *key = &p->index->key;
    for (size_t i = 0; i < p->id->dns_names.count; i++) {
        struct text_buffer buffer;
        struct sp_slice name = lowered(p->id->dns_names.items[i], &buffer);
        look_up(p, sp_hash(key, TAG_DNS, name));
        const char *dot = name.len > 0 ? memchr(name.ptr, '.', name.len) : NULL;
        if (dot != NULL)
            look_up(
                p, sp_hash(key, TAG_DNS_BELOW, sp_slice_sub(name, (size_t)(dot - name.ptr) + 1, name.len)));
    }
}

static void probe_emails(const struct probe *p)
{
    for (size_t i = 0; i < p->id->emails.count; i++) {
        struct sp_slice email = p->id->emails.items[i];
        const char *at = email.len > 0 ? memchr(email.ptr, '@', email.len) : NULL;
        if (at == NULL)
            continue;
        struct sp_slice local = sp_slice_sub(email, 0, (size_t)(at - email.ptr)),
                        domain = sp_slice_sub(email, local.len + 1, email.len);
        look_up(p, hash_email(&p->index->key, local, domain));
        look_up(p, hash_email(&p->index->key, (struct sp_slice){NULL, 0}, domain));
    }
}

static void probe_ips(const struct probe *p)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    for (size_t i = 0; i < p->id->ips.count; i++) {
        const uint8_t *bytes = (const uint8_t *)p->id->ips.items[i].ptr;
        size_t len = p->id->ips.items[i].len;
        if (len == 16 && memcmp(bytes, mapped, sizeof mapped) == 0) { /* as sp_cidr_match has it */
            bytes += sizeof mapped;
            len = 4;
        }
        const uint64_t *prefixes = p->index->prefixes[len == 4 ? 0 : 1];
        for (unsigned bits = 0; (len == 4 || len == 16) && bits <= len * 8; bits++) {
            if (prefixes[bits / 64] >> (bits % 64) & 1)
                look_up(p, hash_prefix(&p->index->key, bytes, len, bits));
        }
    }
}

static void probe_attrs(const struct probe *p, enum tag tag, const struct sp_name_attr *attrs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        look_up(p, hash_attr(&p->index->key, tag, attrs[i].type, attrs[i].value));
}

static void probe_subject(const struct probe *p)
{
    probe_attrs(p, TAG_SUBJECT, p->id->subject_attrs, p->id->subject_attr_count);
}

static void probe_issuer(const struct probe *p)
{
    probe_attrs(p, TAG_ISSUER, p->id->issuer_attrs, p->id->issuer_attr_count);
}

static void probe_serial(const struct probe *p)
{
    look_up(p, sp_hash(&p->index->key, TAG_SERIAL, p->id->serial_hex));
}

static void probe_fingerprint(const struct probe *p)
{
    look_up(p, hash_bytes(&p->index->key, TAG_FINGERPRINT, p->id->sha256, SP_FIELD_DIGEST));
}

static void probe_spki(const struct probe *p)
{
    look_up(p, hash_bytes(&p->index->key, TAG_SPKI, p->id->spki_sha256, SP_FIELD_DIGEST));
}

static void probe_policies(const struct probe *p)
{
    for (size_t i = 0; i < p->id->policies.count; i++)
        look_up(p, sp_hash(&p->index->key, TAG_POLICY, p->id->policies.items[i]));
}

static void probe_qc_type(const struct probe *p)
{
    look_up(p, hash_number(&p->index->key, TAG_QC_TYPE, (uint32_t)p->id->qualified.type));
}

static void probe_roles(const struct probe *p)
{
    for (uint32_t left = p->id->qualified.psd2_roles; left != 0; left &= left - 1)
        look_up(p, hash_number(&p->index->key, TAG_PSD2_ROLE, left & (~left + 1)));
}

static void probe_authority(const struct probe *p)
{
    look_up(p, sp_hash(&p->index->key, TAG_PSD2_AUTHORITY, p->id->qualified.authority_id));
}

static void probe_any(const struct probe *p)
{
    look_up(p, hash_number(&p->index->key, TAG_ANY,
                   p->id != NULL ? SP_CALLER_ANY_AUTHENTICATED : SP_CALLER_ANY_ANONYMOUS));
}

/* ---- the rows ---- */

/* `cost` weighs how many entries share a key: a pattern covers more identities than a name does, and being somebody at all
 * says least. Sets have no probe: who is in one is found on the way (sp_caller_index_probe_set). */
static const struct {
    post_field *post;
    void (*probe)(const struct probe *p);
    uint64_t cost, pattern_cost;
} rows[SP_FIELD_TYPES] = {
    [SP_FIELD_URI] = {post_uri, probe_uris, 1, 16},
    [SP_FIELD_DNS] = {post_dns, probe_dns, 1, 16},
    [SP_FIELD_EMAIL] = {post_email, probe_emails, 1, 16},
    [SP_FIELD_IP] = {post_ip, probe_ips, 8, 8},
    [SP_FIELD_SUBJECT] = {post_attr, probe_subject, 2, 2},
    [SP_FIELD_ISSUER] = {post_attr, probe_issuer, 64, 64},
    [SP_FIELD_SERIAL] = {post_serial, probe_serial, 1, 1},
    [SP_FIELD_FINGERPRINT] = {post_fingerprint, probe_fingerprint, 1, 1},
    [SP_FIELD_SPKI] = {post_spki, probe_spki, 1, 1},
    [SP_FIELD_POLICY] = {post_policy, probe_policies, 64, 64},
    [SP_FIELD_QC_TYPE] = {post_qc_type, probe_qc_type, 256, 256},
    [SP_FIELD_PSD2_ROLES] = {post_roles, probe_roles, 256, 256},
    [SP_FIELD_PSD2_AUTHORITY] = {post_authority, probe_authority, 64, 64},
    [SP_FIELD_ANY] = {post_any, probe_any, 4096, 4096},
    [SP_FIELD_CALLER] = {post_set, NULL, 64, 64},
    [SP_FIELD_FILE] = {post_set, NULL, 64, 64},
};

void sp_caller_index_probe(
    const struct sp_caller_index *index, const struct sp_identity *id, sp_each_entry *each, void *arg)
{
    const struct probe p = {index, id, each, arg};
    for (size_t i = 0; id != NULL && i < SP_FIELD_TYPES; i++) {
        if (rows[i].probe != NULL)
            rows[i].probe(&p);
    }
    if (id == NULL)
        probe_any(&p);
}

void sp_caller_index_probe_set(
    const struct sp_caller_index *index, uint32_t set, sp_each_entry *each, void *arg)
{
    const struct probe p = {index, NULL, each, arg};
    look_up(&p, hash_number(&index->key, TAG_SET, set));
}

uint64_t sp_caller_index_hash(const struct sp_hash_key *key, const struct sp_field *f)
{
    return rows[f->type].post(key, f);
}

bool sp_caller_index_is_pattern(const struct sp_field *f)
{
    switch (f->type) {
    case SP_FIELD_URI:
        return !f->exact;
    case SP_FIELD_DNS:
        return sp_field_text(f).ptr[0] == '*';
    case SP_FIELD_EMAIL:
        return ((const struct sp_field_email *)f->of)->pattern.local.ptr == NULL;
    default:
        return false;
    }
}

uint64_t sp_caller_index_cost(const struct sp_field *f)
{
    return sp_caller_index_is_pattern(f) ? rows[f->type].pattern_cost : rows[f->type].cost;
}
