/* The ticket keys of a file. They never change: a file that has changed is loaded anew, by the next snapshot.
 *
 * A ticket is AES-256-CBC and then HMAC-SHA-256 over all of it, which is the shape that OpenSSL gives tickets. What
 * is in it: resume_sealed.c. Whom it lets in: resume.c. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/base/mem.h"
#include "tls_private.h"

/* Each is tried by its name: more than the one before, the one of now and the one to come help nobody. */
#define MAX_KEYS       16
#define MAX_FILE_BYTES 16384

/* In the order of the file's bytes. */
struct ticket_key {
    unsigned char name[TICKET_KEY_NAME]; /* travels in the clear, to find the key by */
    unsigned char aes[32], hmac[32];
};
#define KEY_BYTES     sizeof(struct ticket_key)
#define BASE64_LENGTH ((KEY_BYTES + 2) / 3 * 4)
_Static_assert(sizeof(struct ticket_key) == 80, "the file's lines have 80 bytes");

struct sp_tickets {
    atomic_uint refs;
    EVP_CIPHER *cipher; /* looked up once: that takes OpenSSL longer than to encrypt a ticket */
    size_t count;
    struct ticket_key keys[MAX_KEYS]; /* the first seals, all open */
};

static struct sp_tickets *tickets_new(void)
{
    struct sp_tickets *t = SP_NEW(struct sp_tickets);
    if (t == NULL)
        return NULL;
    atomic_init(&t->refs, 1);
    t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (t->cipher == NULL) {
        ERR_clear_error();
        sp_tickets_free(t);
        return NULL;
    }
    return t;
}

struct sp_tickets *sp_tickets_ref(struct sp_tickets *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void sp_tickets_free(struct sp_tickets *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    OPENSSL_cleanse(t->keys, sizeof t->keys);
    EVP_CIPHER_free(t->cipher);
    sp_free(t);
}

/* ---- use ---- */

/* The key of that name, or the one that seals if `name` is NULL. NULL: there is none. */
static const struct ticket_key *find_key(const struct sp_tickets *t, const unsigned char *name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (name == NULL || memcmp(t->keys[i].name, name, sizeof t->keys[i].name) == 0)
            return &t->keys[i];
    }
    return NULL;
}

static bool set_hmac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    unsigned char hmac[sizeof key->hmac]; /* OpenSSL's parameters are not const */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, hmac, sizeof hmac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    memcpy(hmac, key->hmac, sizeof hmac);
    bool ok = EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(hmac, sizeof hmac);
    return ok;
}

bool tickets_seal(const struct sp_tickets *t, unsigned char name[TICKET_KEY_NAME], unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *key = find_key(t, NULL);
    if (key == NULL || RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) != 1 ||
        EVP_EncryptInit_ex2(cipher, t->cipher, key->aes, iv, NULL) != 1 || !set_hmac(mac, key))
        return false;
    memcpy(name, key->name, sizeof key->name);
    return true;
}

bool tickets_open(const struct sp_tickets *t, const unsigned char name[TICKET_KEY_NAME],
    const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *key = find_key(t, name);
    return key != NULL && EVP_DecryptInit_ex2(cipher, t->cipher, key->aes, iv, NULL) == 1 &&
           set_hmac(mac, key);
}

/* ---- a file ---- */

static bool is_base64(char c)
{
    return sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'z') || c == '+' || c == '/';
}

static struct sp_slice trim(struct sp_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = sp_slice_sub(s, 1, s.len);
    while (s.len > 0 && strchr(" \t\r", s.ptr[s.len - 1]) != NULL)
        s.len--;
    return s;
}

static enum sp_rc parse_key(struct sp_slice text, struct ticket_key *key, struct sp_err *err)
{
    unsigned char bytes[BASE64_LENGTH / 4 * 3];
    size_t digits = 0;
    while (digits < text.len && is_base64(text.ptr[digits]))
        digits++;
    size_t pad = text.len - digits;
    if (text.len % 4 != 0 || pad > 2 || (pad > 0 && text.ptr[text.len - 1] != '=') ||
        (pad > 1 && text.ptr[text.len - 2] != '='))
        return sp_err_set(err, "is not base64; a key is 80 bytes in base64");
    if (digits * 3 / 4 != KEY_BYTES)
        return sp_err_set(err, "has %zu bytes; a key has 80", digits * 3 / 4);
    int len = EVP_DecodeBlock(bytes, (const unsigned char *)text.ptr, (int)text.len);
    SP_ASSERT(len == sizeof bytes);
    memcpy(key, bytes, sizeof *key);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return SP_OK;
}

static enum sp_rc add_key(struct sp_tickets *t, struct sp_slice text, struct sp_err *err)
{
    if (t->count == MAX_KEYS)
        return sp_err_set(err, "is one key too many; at most %d are taken", MAX_KEYS);
    struct ticket_key *key = &t->keys[t->count];
    if (parse_key(text, key, err) != SP_OK)
        return SP_FAIL;
    for (size_t i = 0; i < t->count; i++) {
        if (memcmp(t->keys[i].name, key->name, sizeof key->name) == 0)
            return sp_err_set(
                err, "begins with the same 16 bytes as an earlier key, so that it opens nothing");
    }
    t->count++;
    return SP_OK;
}

static enum sp_rc parse_file(struct sp_tickets *t, struct sp_slice text, struct sp_err *err)
{
    for (unsigned line = 1; text.len > 0; line++) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
        struct sp_slice item = trim(sp_slice_sub(text, 0, len));
        if (item.len > 0 && item.ptr[0] != '#' && add_key(t, item, err) != SP_OK)
            return sp_err_wrap(err, "line %u", line);
        text = sp_slice_sub(text, len + (end != NULL), text.len);
    }
    return t->count > 0 ? SP_OK : sp_err_set(err, "holds no key; one is a line of 80 bytes in base64");
}

/* SP_OK: *len bytes of it are in `buf`. */
static enum sp_rc read_secret(const char *path, char *buf, size_t room, size_t *len, struct sp_err *err)
{
    struct stat st;
    enum sp_rc rc = SP_OK;
    *len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sp_err_sys(err, errno, "cannot be opened");
    if (fstat(fd, &st) != 0)
        rc = sp_err_sys(err, errno, "cannot be looked at");
    else if (!S_ISREG(st.st_mode))
        rc = sp_err_set(err, "is no regular file");
    else if ((st.st_mode & 077) != 0)
        rc = sp_err_set(
            err, "others than its owner may use it (mode %04o); chmod 0600 it", st.st_mode & 07777);
    while (rc == SP_OK && *len < room) {
        ssize_t got = read(fd, buf + *len, room - *len);
        if (got == 0)
            break;
        if (got > 0)
            *len += (size_t)got;
        else if (errno != EINTR)
            rc = sp_err_sys(err, errno, "cannot be read");
    }
    if (rc == SP_OK && *len == room)
        rc = sp_err_set(err, "is larger than %d bytes", MAX_FILE_BYTES);
    close(fd);
    return rc;
}

enum sp_rc sp_tickets_load(const char *path, struct sp_tickets **out, struct sp_err *err)
{
    size_t len;
    char *text = sp_alloc(1, MAX_FILE_BYTES + 1);
    struct sp_tickets *t = tickets_new();
    enum sp_rc rc = SP_FAIL;
    *out = NULL;
    if (text == NULL || t == NULL) {
        rc = sp_err_set(err, "out of memory");
        goto out;
    }
    rc = read_secret(path, text, MAX_FILE_BYTES + 1, &len, err);
    if (rc == SP_OK)
        rc = parse_file(t, (struct sp_slice){text, len}, err);
    OPENSSL_cleanse(text, MAX_FILE_BYTES + 1);
out:
    sp_free(text);
    if (rc != SP_OK) {
        sp_tickets_free(t);
        return sp_err_wrap(err, "ticket keys %s", path);
    }
    *out = t;
    return SP_OK;
}
