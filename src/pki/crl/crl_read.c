/* From the bytes of a CRL to struct sp_crl, in one pass.
 *
 *   CertificateList   SEQUENCE { tbsCertList, signatureAlgorithm, signatureValue BIT STRING }
 *   tbsCertList       SEQUENCE { version?, signature, issuer, thisUpdate, nextUpdate?, revokedCertificates?, [0] crlExtensions? }
 *   revoked           SEQUENCE { userCertificate INTEGER, revocationDate, crlEntryExtensions? }
 *
 * A million entries as OpenSSL's X509_CRL keeps them take 239 MB. Here an entry goes from the window of the stream
 * into the sorted set and is gone; what was signed is digested while it goes by, with the algorithm that stands at its
 * beginning. Only algorithms that have no digest to be kept (RSA-PSS, Ed25519, Ed448) need the signed part itself.
 *
 * Malformed is an error. Well-formed but not to be relied on (a weak signature algorithm, a critical extension that is
 * not understood, ...) is `unusable`: such a CRL stays in the list, to be named. */
#include "pki/crl/crl_read.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdlib.h>

#include "pki/x509/strength.h"
#include "sallyport/base/mem.h"

#define TAG_EXTENSIONS 0xa0

struct reader {
    struct sp_der_stream *in;
    struct sp_crl *crl;
    struct sp_err *err;
    EVP_MD_CTX *md;
    bool keeps; /* what is shown: before the algorithm is known, or because it wants all */
    uint8_t *kept;
    size_t kept_len, kept_room;
    uint8_t *inner; /* AlgorithmIdentifier in the signed part */
    size_t inner_len;
    uint64_t tbs_end;
    bool is_v2, has_extensions;
    size_t entry, removal; /* from 1; the first entry that is removeFromCRL, or 0 */
    struct sp_serials *into;
    struct sp_der_hour hour; /* of the entry before */
};

static enum sp_rc no_memory(struct reader *r)
{
    return sp_err_sys(r->err, ENOMEM, "it cannot be read");
}

/* ---- what is signed ---- */

static bool keep(struct reader *r, const uint8_t *bytes, size_t len)
{
    if (r->kept_room - r->kept_len < len) {
        size_t room = (r->kept_len + len) * 2;
        uint8_t *more = realloc(r->kept, room);
        if (more == NULL)
            return false;
        r->kept = more;
        r->kept_room = room;
    }
    memcpy(r->kept + r->kept_len, bytes, len);
    r->kept_len += len;
    return true;
}

static bool see(void *arg, const uint8_t *bytes, size_t len)
{
    struct reader *r = arg;
    if (r->keeps)
        return keep(r, bytes, len);
    return r->md == NULL || EVP_DigestUpdate(r->md, bytes, len) == 1;
}

static const char *algorithm_name(const X509_ALGOR *a, char *out, size_t room)
{
    const ASN1_OBJECT *oid = NULL;
    X509_ALGOR_get0(&oid, NULL, NULL, a);
    return OBJ_obj2txt(out, (int)room, oid, 0) > 0 ? out : "?";
}

/* Chooses how the signature will be verified. */
static enum sp_rc choose(struct reader *r, const X509_ALGOR *a)
{
    char name[80];
    struct sp_crl_proof *p = &r->crl->proof;
    const ASN1_OBJECT *oid = NULL;
    X509_ALGOR_get0(&oid, NULL, NULL, a);
    int nid = OBJ_obj2nid(oid);
    bool known = nid != NID_undef && OBJ_find_sigid_algs(nid, &p->digest_nid, &p->key_nid) == 1;
    bool whole = nid == NID_rsassaPss || nid == NID_ED25519 || nid == NID_ED448;
    const EVP_MD *md = known && !whole ? EVP_get_digestbynid(p->digest_nid) : NULL;
    bool fine = whole ? nid != NID_rsassaPss || !sp_is_weak_digest(sp_pss_digest(a)) : !sp_is_weak_digest(md);
    r->keeps = whole && fine;
    if (whole)
        p->digest_nid = NID_undef;
    if (!fine) {
        bool supported = whole || md != NULL;
        r->md = NULL;
        return sp_crl_refuse(r->crl, "it is signed with %s, which is %s",
                   algorithm_name(a, name, sizeof(name)), supported ? "too weak" : "not supported")
                   ? SP_OK
                   : no_memory(r);
    }
    if (whole)
        return SP_OK;
    r->md = EVP_MD_CTX_new();
    if (r->md == NULL || EVP_DigestInit_ex(r->md, md, NULL) != 1 ||
        (r->kept_len > 0 && EVP_DigestUpdate(r->md, r->kept, r->kept_len) != 1))
        return no_memory(r);
    return SP_OK;
}

static enum sp_rc read_algorithm(struct reader *r)
{
    struct sp_der_item item;
    if (sp_der_item(r->in, "signature algorithm", &item, r->err) != SP_OK)
        return SP_FAIL;
    const unsigned char *p = item.start, *end = item.bytes + item.len;
    if (item.tag != SP_DER_SEQUENCE ||
        (r->crl->proof.algorithm = d2i_X509_ALGOR(NULL, &p, end - p)) == NULL || p != end)
        return sp_err_set(r->err, "its signature algorithm cannot be parsed");
    r->inner_len = (size_t)(end - item.start);
    r->inner = malloc(r->inner_len);
    if (r->inner == NULL)
        return no_memory(r);
    memcpy(r->inner, item.start, r->inner_len);
    return choose(r, r->crl->proof.algorithm);
}

static enum sp_rc finish_signed_part(struct reader *r)
{
    struct sp_crl_proof *p = &r->crl->proof;
    if (sp_der_show(r->in, NULL, NULL, r->err) != SP_OK)
        return SP_FAIL;
    if (r->md != NULL && EVP_DigestFinal_ex(r->md, p->digest, &p->digest_len) != 1)
        return no_memory(r);
    if (r->keeps) {
        p->signed_part = (struct sp_slice){(const char *)r->kept, r->kept_len};
        r->kept = NULL;
    }
    return SP_OK;
}

/* The algorithm outside is an unsigned claim; it must be the one inside. */
static enum sp_rc read_signature(struct reader *r)
{
    struct sp_der_item item;
    if (sp_der_item(r->in, "signature algorithm", &item, r->err) != SP_OK)
        return SP_FAIL;
    size_t len = (size_t)(item.bytes + item.len - item.start);
    if ((len != r->inner_len || memcmp(item.start, r->inner, len) != 0) &&
        !sp_crl_refuse(r->crl, "the signature algorithm in its signed part is not the one outside"))
        return no_memory(r);
    if (sp_der_item(r->in, "signature", &item, r->err) != SP_OK)
        return SP_FAIL;
    if (item.tag != SP_DER_BIT_STRING || item.len < 2)
        return sp_err_set(r->err, "its signature is not a bit string");
    if (item.bytes[0] != 0 && !sp_crl_refuse(r->crl, "its signature is not a string of whole bytes"))
        return no_memory(r);
    char *copy = sp_alloc(item.len - 1, 1);
    if (copy == NULL)
        return no_memory(r);
    memcpy(copy, item.bytes + 1, item.len - 1);
    r->crl->proof.signature = (struct sp_slice){copy, item.len - 1};
    return SP_OK;
}

/* ---- one entry ---- */

/* *reason is left alone where none is given. */
static enum sp_rc read_entry_extensions(struct reader *r, struct sp_der list, int8_t *reason)
{
    struct sp_crl_ext e;
    char name[80];
    bool fine = true, refused = false;
    r->has_extensions = true;
    while (list.p < list.end && fine) {
        if (!sp_crl_ext_next(&list, &e))
            return sp_err_set(r->err, "its extensions are malformed");
        struct sp_der value = sp_der_of(&e.value);
        struct sp_der_item code;
        if (e.id == SP_EXT_REASON) {
            if (!sp_der_take(&value, SP_DER_ENUMERATED, &code) || value.p != value.end || code.len != 1)
                return sp_err_set(r->err, "its reasonCode cannot be parsed");
            *reason = code.bytes[0] <= 10 ? (int8_t)code.bytes[0] : -1;
        } else if (e.id == SP_EXT_CERT_ISSUER) {
            r->into = sp_crl_set_of(r->crl, &e.value, &refused, r->err);
            if (r->into == NULL && !refused)
                return SP_FAIL;
            if (r->into == NULL)
                r->into = &r->crl->serials;
        } else if (e.critical && e.id != SP_EXT_INVALIDITY) {
            fine = sp_crl_refuse(r->crl, "entry %zu has a critical extension that is not understood (%s)",
                r->entry, sp_crl_ext_name(&e, name, sizeof(name)));
        }
    }
    return fine ? SP_OK : no_memory(r);
}

static enum sp_rc add_serial(struct reader *r, const struct sp_der_item *serial, int64_t date, int8_t reason)
{
    uint8_t magnitude[SP_SERIAL_MAX_BYTES];
    const uint8_t *p = serial->bytes;
    size_t len = serial->len;
    bool negative = false;
    if (len > 0 && p[0] < 0x80) {
        while (len > 0 && p[0] == 0) {
            p++;
            len--;
        }
    } else if (sp_der_integer(serial, magnitude, sizeof(magnitude), &negative, &len)) {
        p = magnitude;
    } else if (len == 0) {
        return sp_err_set(r->err, "its serial number is empty");
    } else {
        len = SP_SERIAL_MAX_BYTES + 1;
    }
    if (len > SP_SERIAL_MAX_BYTES)
        return sp_err_set(r->err, "its serial number has more than %d bytes", SP_SERIAL_MAX_BYTES);
    return sp_serials_add(r->into, negative, p, len, date, reason) == SP_OK ? SP_OK : no_memory(r);
}

static enum sp_rc read_entry(struct reader *r)
{
    struct sp_der_item item, serial, date, list;
    int64_t when = 0;
    int8_t reason = -1;
    if (!sp_der_here(r->in, &item) &&
        sp_der_item(r->in, "list of revoked certificates", &item, r->err) != SP_OK)
        return SP_FAIL;
    struct sp_der d = sp_der_of(&item);
    if (item.tag != SP_DER_SEQUENCE || !sp_der_next_short(&d, &serial) || serial.tag != SP_DER_INTEGER)
        return sp_err_set(r->err, "it does not begin with a serial number");
    if (!sp_der_next_short(&d, &date) || !sp_der_time_next(&date, &r->hour, &when))
        return sp_err_set(r->err, "its revocation date is not a time");
    if (d.p < d.end) {
        if (!sp_der_take(&d, SP_DER_SEQUENCE, &list) || d.p != d.end)
            return sp_err_set(r->err, "its extensions are malformed");
        if (read_entry_extensions(r, sp_der_of(&list), &reason) != SP_OK)
            return SP_FAIL;
    }
    if (reason == CRL_REASON_REMOVE_FROM_CRL && r->removal == 0)
        r->removal = r->entry;
    return add_serial(r, &serial, when, reason);
}

/* How many entries come, taking them for as long as the first is. The length that the list claims may be a lie, that of the
 * file is none. */
static size_t expected(const struct reader *r, uint64_t end)
{
    const struct sp_der_stream *in = r->in;
    struct sp_der d = {in->window + in->at, in->window + in->end};
    struct sp_der_item first;
    uint64_t from = sp_der_position(in), to = end < in->whole ? end : in->whole;
    return to > from && sp_der_next(&d, &first) ? (size_t)((to - from) / (uint64_t)(d.p - first.start)) : 0;
}

static enum sp_rc read_entries(struct reader *r)
{
    uint64_t len = 0;
    if (sp_der_enter(r->in, SP_DER_SEQUENCE, "list of revoked certificates", &len, r->err) != SP_OK)
        return SP_FAIL;
    uint64_t end = sp_der_position(r->in) + len;
    if (end > r->tbs_end)
        return sp_err_set(r->err, "its list of revoked certificates is longer than what is signed");
    r->into = &r->crl->serials;
    r->into->expected = expected(r, end);
    while (sp_der_position(r->in) < end) {
        r->entry++;
        if (read_entry(r) != SP_OK)
            return sp_err_wrap(r->err, "entry %zu", r->entry);
    }
    r->crl->revoked_count = r->entry;
    return SP_OK;
}

/* ---- the rest of the signed part ---- */

static enum sp_rc read_version(struct reader *r)
{
    uint8_t tag = 0;
    struct sp_der_item item;
    if (sp_der_peek(r->in, r->tbs_end, "signed part", &tag, r->err) != SP_OK)
        return SP_FAIL;
    if (tag != SP_DER_INTEGER)
        return SP_OK; /* version 1 */
    if (sp_der_item(r->in, "version", &item, r->err) != SP_OK)
        return SP_FAIL;
    r->is_v2 = true;
    if (item.len == 1 && item.bytes[0] == 1)
        return SP_OK;
    return sp_crl_refuse(r->crl, "its version is unknown") ? SP_OK : no_memory(r);
}

static enum sp_rc read_issuer(struct reader *r)
{
    struct sp_der_item item;
    if (sp_der_item(r->in, "issuer", &item, r->err) != SP_OK)
        return SP_FAIL;
    const unsigned char *p = item.start, *end = item.bytes + item.len;
    r->crl->issuer = item.tag == SP_DER_SEQUENCE ? d2i_X509_NAME(NULL, &p, end - p) : NULL;
    if (r->crl->issuer == NULL || p != end)
        return sp_err_set(r->err, "its issuer cannot be parsed");
    if (EVP_Digest(item.start, (size_t)(end - item.start), r->crl->issuer_hash, NULL, EVP_sha256(), NULL) !=
        1)
        return no_memory(r);
    return SP_OK;
}

static enum sp_rc read_times(struct reader *r)
{
    struct sp_der_item item;
    uint8_t tag = 0;
    if (sp_der_item(r->in, "thisUpdate", &item, r->err) != SP_OK)
        return SP_FAIL;
    if (!sp_der_time(&item, &r->crl->this_update))
        return sp_err_set(r->err, "its thisUpdate is not a time");
    if (sp_der_peek(r->in, r->tbs_end, "signed part", &tag, r->err) != SP_OK)
        return SP_FAIL;
    if (tag != SP_DER_UTC_TIME && tag != SP_DER_GENERALIZED_TIME)
        return SP_OK;
    if (sp_der_item(r->in, "nextUpdate", &item, r->err) != SP_OK)
        return SP_FAIL;
    if (!sp_der_time(&item, &r->crl->next_update))
        return sp_err_set(r->err, "its nextUpdate is not a time");
    return SP_OK;
}

static enum sp_rc read_extensions(struct reader *r)
{
    struct sp_der_item item, list;
    if (sp_der_item(r->in, "extensions", &item, r->err) != SP_OK)
        return SP_FAIL;
    struct sp_der d = sp_der_of(&item);
    if (!sp_der_take(&d, SP_DER_SEQUENCE, &list) || d.p != d.end)
        return sp_err_set(r->err, "its extensions are malformed");
    r->has_extensions = true;
    return sp_crl_read_extensions(r->crl, sp_der_of(&list), r->err);
}

/* What only shows when all of it has been read. */
static enum sp_rc check_as_a_whole(struct reader *r)
{
    struct sp_crl *c = r->crl;
    bool fine = true;
    if (r->has_extensions && !r->is_v2)
        fine = sp_crl_refuse(c, "it is of version 1, which has no extensions, but there are some");
    if (!c->is_delta && r->removal > 0)
        fine = fine &&
               sp_crl_refuse(c, "entry %zu is removeFromCRL, which only a delta CRL may hold", r->removal);
    if (c->other_count > 0 && !c->is_indirect)
        fine = fine && sp_crl_refuse(c,
                           "an entry names another issuer, but it does not say that it is an indirect CRL");
    if (c->is_delta && c->number[0] == '\0')
        fine = fine && sp_crl_refuse(c, "it is a delta CRL without a CRLNumber");
    return fine ? SP_OK : no_memory(r);
}

static enum sp_rc read_signed_part(struct reader *r)
{
    uint64_t len = 0;
    uint8_t tag = 0;
    r->keeps = true;
    if (sp_der_show(r->in, see, r, r->err) != SP_OK ||
        sp_der_enter(r->in, SP_DER_SEQUENCE, "signed part", &len, r->err) != SP_OK)
        return SP_FAIL;
    r->tbs_end = sp_der_position(r->in) + len;
    if (read_version(r) != SP_OK || read_algorithm(r) != SP_OK || read_issuer(r) != SP_OK ||
        read_times(r) != SP_OK || sp_der_peek(r->in, r->tbs_end, "signed part", &tag, r->err) != SP_OK)
        return SP_FAIL;
    if (tag == SP_DER_SEQUENCE &&
        (read_entries(r) != SP_OK || sp_der_peek(r->in, r->tbs_end, "signed part", &tag, r->err) != SP_OK))
        return SP_FAIL;
    if (tag == TAG_EXTENSIONS && read_extensions(r) != SP_OK)
        return SP_FAIL;
    if (sp_der_position(r->in) != r->tbs_end)
        return sp_err_set(r->err, "its signed part is not as long as it says");
    return finish_signed_part(r);
}

static enum sp_rc read_whole(struct reader *r)
{
    uint64_t len = 0;
    if (sp_der_enter(r->in, SP_DER_SEQUENCE, "beginning", &len, r->err) != SP_OK)
        return SP_FAIL;
    uint64_t end = sp_der_position(r->in) + len;
    if (read_signed_part(r) != SP_OK || read_signature(r) != SP_OK)
        return SP_FAIL;
    if (sp_der_position(r->in) != end)
        return sp_err_set(r->err, "it is not as long as it says");
    if (check_as_a_whole(r) != SP_OK)
        return SP_FAIL;
    sp_serials_seal(&r->crl->serials);
    for (size_t i = 0; i < r->crl->other_count; i++)
        sp_serials_seal(&r->crl->others[i].serials);
    return SP_OK;
}

struct sp_crl *sp_crl_read(struct sp_der_stream *s, const char *source, struct sp_err *err)
{
    struct reader r = {.in = s, .crl = sp_crl_new(source), .err = err};
    enum sp_rc rc = r.crl != NULL ? read_whole(&r) : no_memory(&r);
    s->seen = NULL;
    EVP_MD_CTX_free(r.md);
    free(r.kept);
    free(r.inner);
    ERR_clear_error();
    if (rc == SP_OK)
        return r.crl;
    sp_crl_free(r.crl);
    return NULL;
}
