/* A CRL from bytes: any bytes give a CRL or an error that says what is wrong, the same ones whether they come at once or
 * one at a time; and what is listed is found. */
#include "../unit/pki_crl_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_set(const struct sp_serials *s, size_t *total)
{
    uint8_t key[SP_SERIAL_MAX_KEY];
    struct sp_revoked entry;
    for (size_t i = 0; i < s->class_count; i++) {
        const struct sp_serial_class *c = &s->classes[i];
        SP_ASSERT(c->count > 0);
        *total += c->count;
        for (uint32_t k = 0; k < c->count; k++) {
            key[0] = c->negative;
            memcpy(key + 1, c->records + (size_t)k * (c->len + 5U), c->len);
            SP_ASSERT(c->len == 0 || key[1] != 0);
            SP_ASSERT(sp_serials_find(s, key, 1 + (size_t)c->len, &entry));
            SP_ASSERT(entry.reason >= -1 && entry.reason <= 10);
        }
    }
}

static void check(const struct sp_crl *c)
{
    size_t total = 0;
    check_set(&c->serials, &total);
    for (size_t i = 0; i < c->other_count; i++)
        check_set(&c->others[i].serials, &total);
    SP_ASSERT(total == c->revoked_count);
    SP_ASSERT(c->issuer != NULL && c->proof.signature.len > 0 && c->reasons <= SP_CRL_ALL_REASONS);
    SP_ASSERT(c->unusable != NULL || !c->is_delta || c->number[0] != '\0');
    SP_ASSERT(c->unusable != NULL || c->proof.digest_len > 0 || c->proof.signed_part.ptr != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_err err = {0}, err2 = {0};
    struct sp_crl *c = crl_of_bytes(data, size, 0, &err), *again = crl_of_bytes(data, size, 1, &err2);
    SP_ASSERT((c == NULL) == (again == NULL));
    if (c == NULL) {
        SP_ASSERT(err.text[0] != '\0' && strcmp(err.text, err2.text) == 0);
        return 0;
    }
    check(c);
    SP_ASSERT(c->revoked_count == again->revoked_count && c->proof.digest_len == again->proof.digest_len &&
              memcmp(c->proof.digest, again->proof.digest, c->proof.digest_len) == 0 &&
              (c->unusable == NULL) == (again->unusable == NULL));
    sp_crl_free(c);
    sp_crl_free(again);
    return 0;
}
