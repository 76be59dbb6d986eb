/* From a file to CRLs, a piece at a time: neither the file nor what its base64 stands for is ever in memory as a whole.
 *
 * A PEM file may hold anything between and beside the blocks looked for (text, certificates, keys), but every line that
 * begins or ends a block must have become a block: a half-pasted CRL is an error and never one CRL less. One that cannot be
 * read does not keep the others of the file from being read; what to do then is for the caller (shelf.c).
 *
 * What was read is wiped in the end: a combined file holds a private key as well. */
#include "pki/crl/crl_file.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pki/crl/crl_read.h"
#include "pki/x509/load.h"
#include "sallyport/base/mem.h"

#define RAW_BYTES   ((size_t)1 << 16)
#define LINE_BYTES  80 /* as much of a line as is looked at */
#define SOURCE_TEXT 512

static const char begin_mark[] = "-----BEGIN ", end_mark[] = "-----END ", crl_label[] = "X509 CRL";

struct file {
    int fd;
    uint8_t *raw; /* RAW_BYTES */
    size_t at, end;
    uint64_t size;  /* when it was opened */
    uint64_t total; /* read so far */
    bool over;
    const struct digits *digits_of; /* PEM only */
    /* Inside of a block: base64 that has not made whole bytes yet, and whether it has ended. */
    uint32_t bits;
    unsigned digits, padding;
    bool block_over;
};

/* ---- the list ---- */

enum sp_rc sp_crl_list_add(struct sp_crl_list *l, struct sp_crl *c)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 4 : l->room * 2;
        struct sp_crl **items = realloc(l->items, room * sizeof(struct sp_crl *));
        if (items == NULL) {
            sp_crl_free(c);
            return SP_FAIL;
        }
        l->items = items;
        l->room = room;
    }
    l->items[l->count++] = c;
    return SP_OK;
}

void sp_crl_list_free(struct sp_crl_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        sp_crl_free(l->items[i]);
    free(l->items);
    *l = (struct sp_crl_list){NULL, 0, 0};
}

/* ---- bytes ---- */

static enum sp_rc read_some(struct file *f, uint8_t *into, size_t room, size_t *got, struct sp_err *err)
{
    ssize_t n;
    do
        n = read(f->fd, into, room);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        f->over = true; /* it is not tried again */
        return sp_err_sys(err, errno, "it cannot be read");
    }
    f->total += (uint64_t)n;
    *got = (size_t)n;
    f->over = n == 0;
    return n == 0 ? SP_EOF : SP_OK;
}

/* More of the file in `raw`, which has been used up. */
static enum sp_rc refill(struct file *f, struct sp_err *err)
{
    f->at = f->end = 0;
    if (f->over)
        return SP_EOF;
    return read_some(f, f->raw, RAW_BYTES, &f->end, err);
}

static enum sp_rc more_der(void *arg, uint8_t *into, size_t room, size_t *got, struct sp_err *err)
{
    struct file *f = arg;
    if (f->at == f->end)
        return f->over ? SP_EOF : read_some(f, into, room, got, err);
    *got = f->end - f->at < room ? f->end - f->at : room;
    memcpy(into, f->raw + f->at, *got);
    f->at += *got;
    return SP_OK;
}

/* ---- lines ---- */

/* The next line up to LINE_BYTES of it, without white space at its end. SP_EOF: there is none. */
static enum sp_rc next_line(struct file *f, char line[LINE_BYTES + 1], struct sp_err *err)
{
    size_t n = 0;
    bool any = false;
    for (;;) {
        if (f->at == f->end) {
            enum sp_rc rc = refill(f, err);
            if (rc == SP_FAIL || (rc == SP_EOF && !any))
                return rc;
            if (rc == SP_EOF)
                break;
        }
        any = true;
        const uint8_t *from = f->raw + f->at, *eol = memchr(from, '\n', f->end - f->at);
        size_t len = eol != NULL ? (size_t)(eol - from) : f->end - f->at;
        size_t fits = len < LINE_BYTES - n ? len : LINE_BYTES - n;
        memcpy(line + n, from, fits);
        n += fits;
        f->at += len + (eol != NULL);
        if (eol != NULL)
            break;
    }
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    line[n] = '\0';
    return SP_OK;
}

/* The label of a line that begins or ends a block, cut out of `line`. NULL: it does not. */
static char *label_of(char *line, const char *mark)
{
    size_t len = strlen(line), skip = strlen(mark);
    if (len < skip + 5 || strncmp(line, mark, skip) != 0 || strcmp(line + len - 5, "-----") != 0)
        return NULL;
    line[len - 5] = '\0';
    return line + skip;
}

static enum sp_rc cut_off(size_t block, struct sp_err *err)
{
    return sp_err_set(err, "PEM block %zu is cut off or its frame is damaged", block);
}

/* Over the rest of a block with that label. */
static enum sp_rc skip_block(struct file *f, const char *label, size_t block, struct sp_err *err)
{
    char line[LINE_BYTES + 1];
    enum sp_rc rc;
    while ((rc = next_line(f, line, err)) == SP_OK) {
        const char *ends = label_of(line, end_mark);
        if (ends != NULL && strcmp(ends, label) == 0)
            return SP_OK;
        if (strncmp(line, "-----", 5) == 0)
            break;
    }
    return rc == SP_FAIL ? SP_FAIL : cut_off(block, err);
}

static bool begins_with(const char *line, const char *mark)
{
    return strncmp(line, mark, strlen(mark) - 1) == 0;
}

/* To the first byte inside of the next block of a CRL. SP_EOF: there is none. *block counts all blocks. An end here is
 * one whose beginning was not recognised, and the file may be cut off within a beginning. */
static enum sp_rc find_block(struct file *f, size_t *block, struct sp_err *err)
{
    char line[LINE_BYTES + 1] = "", label[LINE_BYTES + 1];
    enum sp_rc rc;
    while ((rc = next_line(f, line, err)) == SP_OK) {
        bool ends = begins_with(line, end_mark);
        if (!ends && !begins_with(line, begin_mark))
            continue;
        ++*block;
        if (ends)
            return cut_off(*block, err);
        const char *found = label_of(line, begin_mark);
        if (found == NULL)
            return cut_off(*block, err);
        if (strcmp(found, crl_label) == 0)
            return SP_OK;
        memcpy(label, found, strlen(found) + 1);
        if (skip_block(f, label, *block, err) != SP_OK)
            return SP_FAIL;
        line[0] = '\0';
    }
    return rc == SP_EOF && line[0] != '\0' && strncmp(begin_mark, line, strlen(line)) == 0
               ? cut_off(++*block, err)
               : rc;
}

/* ---- base64 ---- */

/* The value of a digit; 64 white space, 65 '=', 66 '-', 67 anything else. */
static uint8_t digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    switch (c) {
    case '+':
        return 62;
    case '/':
        return 63;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return 64;
    case '=':
        return 65;
    case '-':
        return 66;
    default:
        return 67;
    }
}

/* The line that ends the block. */
static enum sp_rc end_block(struct file *f, struct sp_err *err)
{
    char line[LINE_BYTES + 1];
    enum sp_rc rc = next_line(f, line, err);
    const char *label = rc == SP_OK ? label_of(line, end_mark) : NULL;
    if (rc == SP_FAIL)
        return SP_FAIL;
    f->block_over = true;
    if (label == NULL || strcmp(label, crl_label) != 0)
        return sp_err_set(err, "its PEM block is cut off or its frame is damaged");
    if ((f->digits + f->padding) % 4 != 0)
        return sp_err_set(err, "its base64 is not complete");
    return SP_EOF;
}

/* One digit; up to one byte comes of it. SP_AGAIN: none did. SP_EOF: the block has ended. */
static enum sp_rc take_digit(struct file *f, uint8_t *out, struct sp_err *err)
{
    uint8_t d = digit_of(f->raw[f->at]);
    if (d == 66)
        return end_block(f, err);
    f->at++;
    if (d == 64)
        return SP_AGAIN;
    if (d == 65 && f->digits >= 2 && f->digits + f->padding < 4) {
        f->padding++;
        return SP_AGAIN;
    }
    if (d >= 64 || f->padding > 0)
        return sp_err_set(err, "its base64 has a byte that does not belong there");
    f->bits = f->bits << 6 | d;
    f->digits++;
    if (f->digits == 1)
        return SP_AGAIN;
    *out = (uint8_t)(f->bits >> (8 - 2 * f->digits));
    if (f->digits == 4)
        f->digits = 0;
    return SP_OK;
}

/* What each byte is worth as the first to the fourth digit of a group of 24 bits; NO_DIGIT is in none of them. */
struct digits {
    uint32_t worth[4][256];
};

#define NO_DIGIT (UINT32_C(1) << 31)

static void make_digits(struct digits *digits)
{
    for (unsigned c = 0; c < 256; c++) {
        uint32_t d = digit_of((uint8_t)c);
        for (unsigned i = 0; i < 4; i++)
            digits->worth[i][c] = d < 64 ? d << (18 - 6 * i) : NO_DIGIT;
    }
}

static inline uint32_t group(const struct digits *digits, const uint8_t *p)
{
    return digits->worth[0][p[0]] | digits->worth[1][p[1]] | digits->worth[2][p[2]] | digits->worth[3][p[3]];
}

/* Whole groups of four digits, as many as there are before anything else than the end of a line. Eight digits at a time, two
 * bytes more than come of them being written and then written over, while there is room for that. */
static void take_groups(struct file *f, uint8_t *into, size_t room, size_t *done)
{
    const uint8_t *p = f->raw + f->at, *end = f->raw + f->end;
    uint8_t *to = into + *done, *stop = into + room;
    for (;;) {
        while (end - p >= 8 && stop - to >= 8) {
            uint64_t first = group(f->digits_of, p), second = group(f->digits_of, p + 4);
            if ((first | second) & NO_DIGIT)
                break;
            uint64_t bytes = htobe64(first << 40 | second << 16);
            memcpy(to, &bytes, 8);
            p += 8;
            to += 6;
        }
        if (end - p >= 1 && *p == '\n') {
            p++;
            continue;
        }
        uint32_t bits = end - p >= 4 && stop - to >= 3 ? group(f->digits_of, p) : NO_DIGIT;
        if (bits & NO_DIGIT)
            break;
        to[0] = (uint8_t)(bits >> 16);
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)bits;
        p += 4;
        to += 3;
    }
    f->at = (size_t)(p - f->raw);
    *done = (size_t)(to - into);
}

static enum sp_rc more_pem(void *arg, uint8_t *into, size_t room, size_t *got, struct sp_err *err)
{
    struct file *f = arg;
    size_t n = 0;
    while (n < room && !f->block_over) {
        if (f->at == f->end) {
            enum sp_rc rc = refill(f, err);
            if (rc == SP_EOF)
                return sp_err_set(err, "its PEM block is cut off or its frame is damaged");
            if (rc != SP_OK)
                return rc;
        }
        if (f->digits == 0 && f->padding == 0)
            take_groups(f, into, room, &n);
        if (f->at == f->end || n == room)
            continue;
        enum sp_rc rc = take_digit(f, into + n, err);
        if (rc == SP_FAIL)
            return SP_FAIL;
        n += rc == SP_OK;
    }
    *got = n;
    return n > 0 ? SP_OK : SP_EOF;
}

/* ---- CRLs ---- */

static enum sp_rc take_crl(
    struct sp_der_stream *s, const char *path, struct sp_crl_list *out, size_t item, struct sp_err *err)
{
    char source[SOURCE_TEXT];
    snprintf(source, sizeof(source), "%s, CRL %zu", path, item);
    struct sp_crl *c = sp_crl_read(s, source, err);
    if (c == NULL)
        return SP_FAIL;
    if (sp_crl_list_add(out, c) != SP_OK)
        return sp_err_sys(err, ENOMEM, "it cannot be read");
    return SP_OK;
}

static enum sp_rc say_which(const char *path, size_t item, struct sp_err *err)
{
    return sp_err_wrap(err, "%s: CRL %zu cannot be parsed", path, item);
}

/* One after the other, to the end of the file. */
static enum sp_rc take_der(
    struct file *f, const char *path, struct sp_crl_list *out, size_t *items, struct sp_err *err)
{
    struct sp_der_stream s = {.more = more_der, .arg = f, .whole = f->size};
    enum sp_rc rc;
    do {
        ++*items;
        rc = take_crl(&s, path, out, *items, err);
        if (rc != SP_OK)
            (void)say_which(path, *items, err);
        else if ((rc = sp_der_need(&s, 1, err)) == SP_FAIL)
            (void)sp_err_wrap(err, "%s", path);
    } while (rc == SP_OK);
    sp_der_stream_close(&s);
    return rc == SP_EOF ? SP_OK : SP_FAIL;
}

static enum sp_rc take_block(
    struct file *f, const char *path, struct sp_crl_list *out, size_t item, struct sp_err *err)
{
    struct sp_der_stream s = {.more = more_pem, .arg = f, .whole = f->size / 4 * 3};
    f->bits = f->digits = f->padding = 0;
    f->block_over = false;
    enum sp_rc rc = take_crl(&s, path, out, item, err);
    if (rc == SP_OK) {
        rc = sp_der_need(&s, 1, err);
        if (rc == SP_OK)
            rc = sp_err_set(err, "it is followed by bytes that do not belong to it");
        rc = rc == SP_EOF ? SP_OK : SP_FAIL;
        if (rc == SP_FAIL)
            sp_crl_free(out->items[--out->count]);
    }
    sp_der_stream_close(&s);
    return rc == SP_OK ? SP_OK : say_which(path, item, err);
}

/* The first thing that is wrong is told; what can be read behind it is. */
static enum sp_rc take_pem(
    struct file *f, const char *path, struct sp_crl_list *out, size_t *items, struct sp_err *err)
{
    enum sp_rc rc = SP_OK, found;
    struct digits digits;
    size_t block = 0;
    make_digits(&digits);
    f->digits_of = &digits;
    struct sp_err later = {0}, *e = err;
    while ((found = find_block(f, &block, e)) != SP_EOF) {
        if (found == SP_FAIL) {
            rc = sp_err_wrap(e, "%s", path);
        } else {
            ++*items;
            if (take_block(f, path, out, *items, e) == SP_OK)
                continue;
            rc = SP_FAIL;
            if (!f->block_over)
                (void)skip_block(f, crl_label, block, &later);
        }
        e = &later;
    }
    return rc;
}

static bool is_der(const struct file *f)
{
    return f->end >= 2 && f->raw[0] == SP_DER_SEQUENCE && (f->raw[1] < 0x20 || f->raw[1] > 0x7e) &&
           f->raw[1] != '\n' && f->raw[1] != '\r' && f->raw[1] != '\t';
}

static enum sp_rc read_crls(struct file *f, const char *path, struct sp_crl_list *out, struct sp_err *err)
{
    size_t items = 0;
    enum sp_rc rc = refill(f, err);
    if (rc == SP_FAIL)
        return sp_err_wrap(err, "%s", path);
    rc = is_der(f) ? take_der(f, path, out, &items, err) : take_pem(f, path, out, &items, err);
    if (rc == SP_OK && items == 0)
        return sp_err_set(err, "%s: there is no CRL in the file", path);
    if (items == 1 && out->count == 1) { /* nothing to tell apart */
        char *source = strdup(path);
        if (source == NULL)
            return sp_err_sys(err, ENOMEM, "%s", path);
        free(out->items[0]->source);
        out->items[0]->source = source;
    }
    return rc;
}

static bool has_changed(int fd, const struct stat *before, uint64_t total)
{
    struct stat now;
    return total != (uint64_t)before->st_size || fstat(fd, &now) != 0 || now.st_size != before->st_size ||
           now.st_mtim.tv_sec != before->st_mtim.tv_sec || now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

enum sp_rc sp_crl_file_read(const char *path, struct sp_crl_list *out, struct stat *st, struct sp_err *err)
{
    struct file f = {.fd = -1};
    memset(st, 0, sizeof(*st));
    enum sp_rc rc = sp_load_open(path, &f.fd, st, err);
    if (rc != SP_OK)
        return err->sys == ENOENT ? SP_EOF : SP_FAIL;
    f.raw = sp_alloc(RAW_BYTES, 1);
    f.size = (uint64_t)st->st_size;
    if (f.raw == NULL) {
        rc = sp_err_sys(err, ENOMEM, "%s", path);
    } else {
        rc = read_crls(&f, path, out, err);
        if (rc == SP_OK && has_changed(f.fd, st, f.total))
            rc = sp_err_set(err, "%s: the file changed while it was read", path);
        OPENSSL_cleanse(f.raw, RAW_BYTES);
    }
    sp_free(f.raw);
    close(f.fd);
    return rc;
}
