/* A CRL from bytes: any bytes give a CRL or an error that says what is wrong, the same ones whether they come at once or
 * one at a time, or as a file of PEM; and what is listed is found. The same bytes as a file are PEM, DER or an error. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/pki_crl_bytes.h"
#include "pki/crl/crl_file.h"

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

static void write_all(int fd, const char *bytes, size_t len)
{
    SP_ASSERT(len == 0 || write(fd, bytes, len) == (ssize_t)len);
}

/* As a file of PEM, in lines whose length the data says. */
static int pem_file(const uint8_t *data, size_t size)
{
    size_t len = (size + 2) / 3 * 4, width = 1 + (size > 0 ? data[size / 2] % 76U : 0);
    char *base64 = malloc(len + 1);
    int fd = memfd_create("crl", MFD_CLOEXEC);
    SP_ASSERT(base64 != NULL && fd >= 0 && EVP_EncodeBlock((uint8_t *)base64, data, (int)size) == (int)len);
    write_all(fd, "-----BEGIN X509 CRL-----\n", 25);
    for (size_t at = 0; at < len; at += width) {
        write_all(fd, base64 + at, len - at < width ? len - at : width);
        write_all(fd, "\n", 1);
    }
    write_all(fd, "-----END X509 CRL-----\n", 23);
    free(base64);
    return fd;
}

/* The CRLs of the file `fd`, which is closed. */
static struct sp_crl_list crls_of(int fd, enum sp_rc *rc)
{
    struct sp_crl_list list = {NULL, 0, 0};
    struct sp_err err = {0};
    struct stat st;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *rc = sp_crl_file_read(path, &list, &st, &err);
    SP_ASSERT((*rc == SP_OK) == (err.text[0] == '\0') && (*rc != SP_OK || list.count > 0));
    close(fd);
    return list;
}

/* `c`: what the same bytes are when they come by themselves. */
static void check_files(const struct sp_crl *c, const uint8_t *data, size_t size)
{
    enum sp_rc rc;
    struct sp_crl_list list = crls_of(pem_file(data, size), &rc);
    SP_ASSERT((rc == SP_OK) == (c != NULL) && list.count == (c != NULL ? 1 : 0));
    SP_ASSERT(
        c == NULL || (sp_slice_equal(list.items[0]->proof.signature, c->proof.signature) &&
                         list.items[0]->revoked_count == c->revoked_count &&
                         list.items[0]->proof.digest_len == c->proof.digest_len &&
                         memcmp(list.items[0]->proof.digest, c->proof.digest, c->proof.digest_len) == 0));
    sp_crl_list_free(&list);
    int fd = memfd_create("crl", MFD_CLOEXEC);
    SP_ASSERT(fd >= 0);
    write_all(fd, (const char *)data, size);
    list = crls_of(fd, &rc);
    sp_crl_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_err err = {0}, err2 = {0};
    struct sp_crl *c = crl_of_bytes(data, size, 0, &err), *again = crl_of_bytes(data, size, 1, &err2);
    SP_ASSERT((c == NULL) == (again == NULL));
    check_files(c, data, size);
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
