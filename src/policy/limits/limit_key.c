/* Keys of places. Names of one kind count as a set: the key is made of the sum of their hashes, so that a renewed
 * certificate which lists the same names in another order keeps its bucket. Every hash is keyed and tagged with what it is
 * of, so that no name of one kind passes for one of another and nobody outside can make a sum. */
#include "policy/limits/limit_key.h"

#include "sallyport/match/attribute.h"

enum tag {
    TAG_CALLER,
    TAG_CERTIFICATE,
    TAG_SUBJECT,
    TAG_URI,
    TAG_DNS,
    TAG_EMAIL,
    TAG_IP,
    TAG_ATTRIBUTE,
    TAG_PLACE
};

enum sp_rc sp_limit_secret_init(struct sp_limit_secret *secret)
{
    if (sp_hash_key_init(&secret->keys[0]) != SP_OK)
        return SP_FAIL;
    return sp_hash_key_init(&secret->keys[1]);
}

static void add(
    struct sp_limit_key *sum, const struct sp_limit_secret *secret, enum tag tag, struct sp_slice bytes)
{
    for (size_t i = 0; i < 2; i++)
        sum->half[i] += sp_hash(&secret->keys[i], tag, bytes);
}

static bool add_names(struct sp_limit_key *sum, const struct sp_limit_secret *secret, enum tag tag,
    const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++)
        add(sum, secret, tag, names->items[i]);
    return names->count > 0;
}

static bool add_attributes(struct sp_limit_key *sum, const struct sp_limit_secret *secret,
    const struct sp_identity *id, struct sp_slice type)
{
    bool any = false;

    for (size_t i = 0; i < id->subject_attr_count; i++) {
        if (!sp_slice_equal(id->subject_attrs[i].type, type))
            continue;
        add(sum, secret, TAG_ATTRIBUTE, id->subject_attrs[i].value);
        any = true;
    }
    return any;
}

/* Subject and every name: what stays when a certificate is renewed. */
static void add_identity(
    struct sp_limit_key *sum, const struct sp_limit_secret *secret, const struct sp_identity *id)
{
    add(sum, secret, TAG_SUBJECT, id->subject);
    add_names(sum, secret, TAG_URI, &id->uris);
    add_names(sum, secret, TAG_DNS, &id->dns_names);
    add_names(sum, secret, TAG_EMAIL, &id->emails);
    add_names(sum, secret, TAG_IP, &id->ips);
}

#define SUBJECT "subject."

/* False: the client has nothing of the kind. */
static bool add_field(struct sp_limit_key *sum, const struct sp_limit_secret *secret, const char *per,
    const struct sp_identity *id)
{
    const struct {
        const char *per;
        enum tag tag;
        const struct sp_slices *names;
    } kinds[] = {
        {"uri", TAG_URI, &id->uris}, {"dns", TAG_DNS, &id->dns_names}, {"email", TAG_EMAIL, &id->emails}};

    if (strncmp(per, SUBJECT, sizeof(SUBJECT) - 1) == 0)
        return add_attributes(sum, secret, id, sp_attribute_type(sp_slice_of(per + sizeof(SUBJECT) - 1)));
    if (strcmp(per, "certificate") == 0) {
        add(sum, secret, TAG_CERTIFICATE, (struct sp_slice){(const char *)id->sha256, sizeof(id->sha256)});
        return true;
    }
    for (size_t i = 0; i < SP_COUNTOF(kinds); i++) {
        if (strcmp(per, kinds[i].per) == 0)
            return add_names(sum, secret, kinds[i].tag, kinds[i].names);
    }
    return false;
}

struct sp_limit_key sp_limit_key_of(
    const struct sp_limit_secret *secret, const char *name, const char *per, const struct sp_identity *id)
{
    /* The caller and the client's part of it: the sum of both would be as good, but for its proof. */
    struct sp_limit_key parts[2] = {0}, key = {0};

    add(&parts[0], secret, TAG_CALLER, sp_slice_of(name));
    if (id != NULL && strcmp(per, "caller") != 0 && !add_field(&parts[1], secret, per, id))
        add_identity(&parts[1], secret, id);
    add(&key, secret, TAG_PLACE, (struct sp_slice){(const char *)parts, sizeof(parts)});
    return key;
}
