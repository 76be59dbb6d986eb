/* Certificate files, and how any file of this room is opened. PEM or DER is told from the first bytes, never from the
 * name of the file. A PEM file may hold anything between and beside the blocks looked for (text, keys, parameters), but
 * every line that begins or ends a block must have become a block: a half-pasted certificate is an error and never one
 * certificate less.
 *
 * The bytes of a file are wiped before they are freed: a combined file holds the private key as well. What is
 * done with the certificates is in anchors.c; files of CRLs are read in crl_file.c. */
#include "pki/x509/load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/base/mem.h"
#include "sallyport/pki/x509.h"

/* A CRL of several million entries fits; what is larger is a mistake in a path. */
#define FILE_MAX_BYTES   ((size_t)512 << 20)
#define FOLDER_MAX_FILES 10000

static const char *const labels[] = {"CERTIFICATE", "X509 CERTIFICATE"};

static enum sp_rc read_all(int fd, char *bytes, size_t len, size_t *got)
{
    for (*got = 0; *got < len;) {
        ssize_t n = read(fd, bytes + *got, len - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SP_FAIL;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return SP_OK;
}

bool sp_load_lacks(const struct sp_err *err)
{
    return err->sys == ENOMEM || err->sys == EMFILE || err->sys == ENFILE;
}

enum sp_rc sp_load_open(const char *path, int *fd, struct stat *st, struct sp_err *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: a FIFO must not hold us up */
    if (*fd < 0)
        return sp_err_sys(err, errno, "%s: cannot be opened", path);
    if (fstat(*fd, st) != 0)
        sp_err_sys(err, errno, "%s", path);
    else if (!S_ISREG(st->st_mode))
        sp_err_set(err, "%s: not a regular file", path);
    else if (st->st_size <= 0)
        sp_err_set(err, "%s: the file is empty", path);
    else if ((uint64_t)st->st_size > FILE_MAX_BYTES)
        sp_err_set(err, "%s: the file is larger than 512 MiB", path);
    else
        return SP_OK;
    close(*fd);
    *fd = -1;
    return SP_FAIL;
}

/* The whole file, at least one byte, to be wiped and freed with OPENSSL_clear_free(*bytes, *len + 1). */
static enum sp_rc read_file(const char *path, char **bytes, size_t *len, struct sp_err *err)
{
    enum sp_rc rc = SP_FAIL;
    struct stat st;
    size_t size = 0;
    char *p = NULL;
    int fd = -1;
    if (sp_load_open(path, &fd, &st, err) != SP_OK)
        return SP_FAIL;
    size = (size_t)st.st_size;
    p = OPENSSL_malloc(size + 1);
    if (p == NULL) {
        sp_err_sys(err, ENOMEM, "%s", path);
        goto out;
    }
    if (read_all(fd, p, size, len) != SP_OK) {
        sp_err_sys(err, errno, "%s: cannot be read", path);
        goto out;
    }
    if (*len != size) {
        sp_err_set(err, "%s: the file changed while it was read", path);
        goto out;
    }
    p[size] = '\0';
    *bytes = p;
    p = NULL;
    rc = SP_OK;
out:
    OPENSSL_clear_free(p, size + 1);
    close(fd);
    return rc;
}

/* Why OpenSSL could not parse, in its own words; empties its queue. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason != NULL ? reason : "malformed";
}

static size_t count_lines(struct sp_slice text, const char *mark)
{
    size_t n = 0, len = strlen(mark);
    for (const char *p = text.ptr, *end = text.ptr + text.len; p < end;) {
        if ((size_t)(end - p) >= len && memcmp(p, mark, len) == 0)
            n++;
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (eol == NULL)
            break;
        p = eol + 1;
    }
    return n;
}

/* The last line, without an end, is the beginning of a block. */
static bool is_cut_off(struct sp_slice text)
{
    static const char mark[] = "-----BEGIN";
    const char *end = text.ptr + text.len, *eol = memrchr(text.ptr, '\n', text.len);
    const char *last = eol != NULL ? eol + 1 : text.ptr;
    size_t len = (size_t)(end - last);
    return len > 0 && len < sizeof(mark) && memcmp(last, mark, len) == 0;
}

static bool is_certificate(const char *label)
{
    for (size_t i = 0; i < SP_COUNTOF(labels); i++) {
        if (strcmp(labels[i], label) == 0)
            return true;
    }
    return false;
}

static enum sp_rc take_der(
    const unsigned char *der, size_t len, STACK_OF(X509) * into, const char *path, struct sp_err *err)
{
    const unsigned char *p = der;
    int item = sk_X509_num(into) + 1;
    X509 *cert = d2i_X509(NULL, &p, (long)len);
    if (cert == NULL)
        return sp_err_set(err, "%s: certificate %d cannot be parsed: %s", path, item, openssl_reason());
    if (p != der + len) {
        X509_free(cert);
        return sp_err_set(
            err, "%s: certificate %d is followed by bytes that do not belong to it", path, item);
    }
    if (sk_X509_push(into, cert) <= 0) {
        X509_free(cert);
        return sp_err_sys(err, ENOMEM, "%s", path);
    }
    return SP_OK;
}

static enum sp_rc take_pem(struct sp_slice text, STACK_OF(X509) * into, const char *path, struct sp_err *err)
{
    enum sp_rc rc = SP_OK;
    size_t blocks = 0;
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    if (bio == NULL)
        return sp_err_sys(err, ENOMEM, "%s", path);
    while (rc == SP_OK) {
        char *label = NULL, *header = NULL;
        unsigned char *der = NULL;
        long len = 0;
        ERR_clear_error();
        if (PEM_read_bio(bio, &label, &header, &der, &len) != 1) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                rc = sp_err_set(
                    err, "%s: PEM block %zu cannot be read: %s", path, blocks + 1, openssl_reason());
            ERR_clear_error();
            break;
        }
        blocks++;
        if (is_certificate(label))
            rc = take_der(der, (size_t)len, into, path, err);
        else if (strcmp(label, "TRUSTED CERTIFICATE") == 0)
            rc = sp_err_set(err,
                "%s: PEM block %zu is a TRUSTED CERTIFICATE, whose extra trust settings are not "
                "read; write it as a plain one (openssl x509 -in ... -out ...)",
                path, blocks);
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    }
    BIO_free(bio);
    size_t begun = count_lines(text, "-----BEGIN"), ended = count_lines(text, "-----END");
    if (rc == SP_OK && is_cut_off(text))
        rc = sp_err_set(err, "%s: it is cut off behind PEM block %zu", path, blocks);
    if (rc == SP_OK && (begun != blocks || ended != blocks))
        rc = sp_err_set(err,
            "%s: %zu PEM blocks begin and %zu end but %zu can be read: one is cut off or its frame is damaged",
            path, begun, ended, blocks);
    return rc;
}

struct stack_st_X509 *sp_pki_load_certificates(const char *path, struct sp_err *err)
{
    char *bytes = NULL;
    size_t len = 0;
    enum sp_rc rc = SP_FAIL;
    STACK_OF(X509) *certs = NULL;
    if (read_file(path, &bytes, &len, err) != SP_OK)
        return NULL;
    certs = sk_X509_new_null();
    if (certs == NULL) {
        sp_err_sys(err, ENOMEM, "%s", path);
        goto out;
    }
    if (bytes[0] == 0x30 && memmem(bytes, len, "-----BEGIN", 10) == NULL)
        rc = take_der((const unsigned char *)bytes, len, certs, path, err);
    else
        rc = take_pem((struct sp_slice){bytes, len}, certs, path, err);
    if (rc == SP_OK && sk_X509_num(certs) == 0)
        rc = sp_err_set(err, "%s: there is no certificate in the file", path);
out:
    OPENSSL_clear_free(bytes, len + 1);
    if (rc != SP_OK) {
        sk_X509_pop_free(certs, X509_free);
        return NULL;
    }
    return certs;
}

X509 *sp_load_der(struct sp_slice der)
{
    const unsigned char *p = (const unsigned char *)der.ptr, *end = p + der.len;
    if (der.len == 0 || der.len > FILE_MAX_BYTES)
        return NULL;
    X509 *cert = d2i_X509(NULL, &p, (long)der.len);
    if (cert != NULL && p != end) {
        X509_free(cert);
        cert = NULL;
    }
    ERR_clear_error();
    return cert;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum sp_rc sp_file_list_add(struct sp_file_list *list, char *path)
{
    if (path != NULL && list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        char **paths = realloc(list->paths, room * sizeof(*paths));
        if (paths != NULL) {
            list->paths = paths;
            list->room = room;
        }
    }
    if (path == NULL || list->count == list->room) {
        free(path);
        return SP_FAIL;
    }
    list->paths[list->count++] = path;
    return SP_OK;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

/* One that is gone by now is none. A FIFO or a device is: it may stand where a file was. */
static bool is_wanted(DIR *dir, const char *name)
{
    struct stat st;
    if (name[0] == '.')
        return false;
    if (fstatat(dirfd(dir), name, &st, 0) == 0)
        return !S_ISDIR(st.st_mode);
    return errno != ENOENT || fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

enum sp_rc sp_load_folder(const char *path, struct sp_file_list *out, struct sp_err *err)
{
    enum sp_rc rc = SP_FAIL;
    struct sp_file_list list = {0};
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOTDIR ? SP_EOF : sp_err_sys(err, errno, "%s: cannot be opened", path);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0) {
            sp_err_sys(err, errno, "%s: cannot be read", path);
            goto out;
        }
        if (entry == NULL)
            break;
        if (!is_wanted(dir, entry->d_name))
            continue;
        if (list.count >= FOLDER_MAX_FILES) {
            sp_err_set(err, "%s: more than %d files", path, FOLDER_MAX_FILES);
            goto out;
        }
        if (sp_file_list_add(&list, join(path, entry->d_name)) != SP_OK) {
            sp_err_sys(err, ENOMEM, "%s", path);
            goto out;
        }
    }
    if (list.count > 1)
        qsort(list.paths, list.count, sizeof(*list.paths), by_bytes);
    *out = list;
    list = (struct sp_file_list){0};
    rc = SP_OK;
out:
    sp_file_list_free(&list);
    closedir(dir);
    return rc;
}

void sp_file_list_free(struct sp_file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct sp_file_list){0};
}
