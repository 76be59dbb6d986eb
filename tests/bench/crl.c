/* What does a CRL of a million entries cost: to load, verify and put in force, and to look into? Ours beside OpenSSL's
 * X509_CRL, each in a process of its own, so that memory is measured from a clean start.
 *
 *   sp_bench_crl [ENTRIES]           makes the CRLs in a temporary folder, measures, prints a table
 *   sp_bench_crl --ours|--openssl FOLDER FILE   one measurement, as a line of numbers (how the first calls itself)
 *
 * Ours is the product's own path: sp_trust_new over files, as a listener's trust is built (the file is read, parsed and
 * sorted, its signature verified), then swapped for the one before, which is freed. OpenSSL's is what a server does that
 * leaves it to OpenSSL: read, parse, X509_CRL_verify, and the first look-up, which sorts. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pki/chain/trust_impl.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/trust.h"

#define SERIAL_BYTES 20
#define ENTRY_BYTES  39
#define LOOKUPS      1000000

#define MUST(cond) ((cond) ? (void)0 : fail(#cond, __LINE__))

static _Noreturn void fail(const char *what, int line)
{
    fprintf(stderr, "crl.c:%d: %s\n", line, what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* ---- serials ---- */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* The serial of entry `i`: positive, SERIAL_BYTES long, the first byte never zero. */
static void serial_of(uint64_t i, bool in_a_row, uint8_t out[SERIAL_BYTES])
{
    memset(out, 0x11, SERIAL_BYTES);
    for (size_t k = 0; k < SERIAL_BYTES; k += 4) {
        uint64_t part = in_a_row ? 0x5a000000U : mix(i * 5 + k / 4);
        for (size_t b = 0; b < 4; b++)
            out[k + b] = (uint8_t)(part >> (8 * (3 - b)));
    }
    for (size_t b = 0; in_a_row && b < 8; b++)
        out[SERIAL_BYTES - 1 - b] = (uint8_t)(i >> (8 * b));
    out[0] = (uint8_t)((out[0] & 0x7f) | 0x40);
}

/* ---- making ---- */

static uint8_t *put_header(uint8_t *p, uint8_t tag, size_t len)
{
    *p++ = tag;
    *p++ = 0x84;
    for (int i = 3; i >= 0; i--)
        *p++ = (uint8_t)(len >> (8 * i));
    return p;
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t len)
{
    memcpy(p, bytes, len);
    return p + len;
}

static uint8_t *put_entry(uint8_t *p, uint64_t i, bool in_a_row)
{
    p = put(p, "\x30\x25\x02\x14", 4);
    serial_of(i, in_a_row, p);
    return put(p + SERIAL_BYTES,
        "\x17\x0d"
        "260101000000Z",
        15);
}

static void write_file(const char *folder, const char *name, const void *bytes, size_t len)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    MUST(f != NULL && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

static void write_pem(const char *folder, const char *name, const uint8_t *der, size_t len)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    MUST(f != NULL && PEM_write(f, "X509 CRL", "", der, (long)len) > 0 && fclose(f) == 0);
}

static const uint8_t ecdsa_sha256[] = {
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

static void make_crl(
    const char *folder, const char *name, const X509 *ca, EVP_PKEY *key, uint64_t entries, bool in_a_row)
{
    static const char times[] = "\x17\x0d"
                                "260101000000Z"
                                "\x18\x0f"
                                "20990101000000Z";
    unsigned char *issuer = NULL;
    int issuer_len = i2d_X509_NAME(X509_get_subject_name(ca), &issuer);
    size_t list = entries * ENTRY_BYTES, sig_len = 128;
    size_t tbs =
        3 + sizeof(ecdsa_sha256) + (size_t)issuer_len + sizeof(times) - 1 + (list > 0 ? 6 + list : 0);
    uint8_t *der = malloc(tbs + 512), *start = der + 6, *p = put_header(start, 0x30, tbs);
    MUST(issuer_len > 0 && der != NULL);
    p = put(p, "\x02\x01\x01", 3);
    p = put(p, ecdsa_sha256, sizeof(ecdsa_sha256));
    p = put(p, issuer, (size_t)issuer_len);
    p = put(p, times, sizeof(times) - 1);
    if (list > 0)
        p = put_header(p, 0x30, list);
    for (uint64_t i = 0; i < entries; i++)
        p = put_entry(p, i, in_a_row);
    MUST(p == start + 6 + tbs);
    uint8_t signature[128];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    MUST(md != NULL && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestSign(md, signature, &sig_len, start, tbs + 6) == 1);
    EVP_MD_CTX_free(md);
    p = put(p, ecdsa_sha256, sizeof(ecdsa_sha256));
    *p++ = 0x03;
    *p++ = (uint8_t)(sig_len + 1);
    *p++ = 0;
    p = put(p, signature, sig_len);
    (void)put_header(der, 0x30, (size_t)(p - start));
    char file[64];
    snprintf(file, sizeof(file), "%s.crl", name);
    write_file(folder, file, der, (size_t)(p - der));
    snprintf(file, sizeof(file), "%s.pem", name);
    write_pem(folder, file, der, (size_t)(p - der));
    OPENSSL_free(issuer);
    free(der);
}

static X509 *make_ca(const char *folder, EVP_PKEY *key)
{
    X509 *ca = X509_new();
    X509_NAME *name = X509_NAME_new();
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    MUST(ca != NULL && name != NULL && ext != NULL &&
         X509_NAME_add_entry_by_txt(
             name, "CN", MBSTRING_UTF8, (const unsigned char *)"Bench CA", -1, -1, 0) == 1 &&
         X509_set_version(ca, X509_VERSION_3) == 1 && X509_set_subject_name(ca, name) == 1 &&
         X509_set_issuer_name(ca, name) == 1 && X509_set_pubkey(ca, key) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(ca), 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(ca), -60) != NULL &&
         X509_gmtime_adj(X509_getm_notAfter(ca), 86400) != NULL && X509_add_ext(ca, ext, -1) == 1 &&
         X509_sign(ca, key, EVP_sha256()) > 0);
    char path[512];
    snprintf(path, sizeof(path), "%s/ca.pem", folder);
    FILE *f = fopen(path, "w");
    MUST(f != NULL && PEM_write_X509(f, ca) == 1 && fclose(f) == 0);
    X509_EXTENSION_free(ext);
    X509_NAME_free(name);
    return ca;
}

/* ---- measuring ---- */

static double cpu_s(void)
{
    struct rusage u;
    MUST(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double cpu_ns(void)
{
    struct timespec t;
    MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* VmRSS or VmHWM in MB (10^6 bytes). */
static double memory_mb(const char *what)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    MUST(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtod(line + strlen(what) + 1, NULL);
    }
    fclose(f);
    return kib * 1024 / 1e6;
}

/* So that VmHWM counts from here. */
static void forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    MUST(f != NULL && fputs("5", f) >= 0 && fclose(f) == 0);
}

struct figures {
    double cpu, grown_mb, peak_mb, hit_ns, miss_ns;
};

struct keys {
    uint8_t (*hits)[SERIAL_BYTES], (*misses)[SERIAL_BYTES];
};

static struct keys make_keys(uint64_t entries, bool in_a_row)
{
    struct keys k = {malloc(LOOKUPS * sizeof(*k.hits)), malloc(LOOKUPS * sizeof(*k.misses))};
    MUST(k.hits != NULL && k.misses != NULL);
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        serial_of(mix(i) % entries, in_a_row, k.hits[i]);
        serial_of(mix(i) % entries, in_a_row, k.misses[i]);
        k.misses[i][SERIAL_BYTES - 9] ^= 0x80; /* near one that is there */
    }
    return k;
}

static void print_figures(const struct figures *f)
{
    printf("%.6f %.3f %.3f %.1f %.1f\n", f->cpu, f->grown_mb, f->peak_mb, f->hit_ns, f->miss_ns);
}

/* ---- ours ---- */

static struct sp_trust *load_ours(const char *folder, const char *file)
{
    char ca_path[512], crl_path[512];
    const char *ca[] = {ca_path}, *crl[] = {crl_path};
    struct sp_config_client_auth auth = {
        .depth = 4, .ca = {.items = ca, .count = 1}, .crl = {.items = crl, .count = 1}};
    struct sp_diags diags = {0};
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", folder);
    snprintf(crl_path, sizeof(crl_path), "%s/%s", folder, file);
    struct sp_trust *t = sp_trust_new("bench", &auth, NULL, &diags);
    struct sp_buf out = {0};
    sp_diags_print(&diags, &out);
    if (t == NULL)
        fprintf(stderr, "%.*s", SP_FMT(sp_buf_slice(&out)));
    sp_buf_free(&out);
    sp_diags_free(&diags);
    MUST(t != NULL && t->crls.count == 1 && sp_crl_has_known_signer(t->crls.items[0]));
    return t;
}

static double look_up_ours(const struct sp_trust *t, uint8_t (*keys)[SERIAL_BYTES], bool want)
{
    uint8_t key[1 + SERIAL_BYTES] = {0};
    struct sp_revoked entry;
    size_t found = 0;
    double start = cpu_ns();
    for (size_t i = 0; i < LOOKUPS; i++) {
        memcpy(key + 1, keys[i], SERIAL_BYTES);
        found += sp_serials_find(&t->crls.items[0]->serials, key, sizeof(key), &entry);
    }
    double ns = (cpu_ns() - start) / LOOKUPS;
    MUST(found == (want ? LOOKUPS : 0));
    return ns;
}

static void measure_ours(const char *folder, const char *file, uint64_t entries, bool in_a_row)
{
    struct figures f;
    struct sp_trust *in_force = load_ours(folder, "small.crl");
    struct keys k = make_keys(entries, in_a_row);
    forget_peak();
    double rss = memory_mb("VmRSS"), cpu = cpu_s();
    struct sp_trust *fresh = load_ours(folder, file), *old = in_force;
    in_force = fresh;
    sp_trust_free(old);
    f.cpu = cpu_s() - cpu;
    f.grown_mb = memory_mb("VmRSS") - rss;
    f.peak_mb = memory_mb("VmHWM") - rss;
    f.hit_ns = look_up_ours(in_force, k.hits, true);
    f.miss_ns = look_up_ours(in_force, k.misses, false);
    print_figures(&f);
    sp_trust_free(in_force);
}

/* ---- OpenSSL ---- */

static X509_CRL *load_openssl(const char *folder, const char *file, EVP_PKEY *key)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    BIO *bio = BIO_new_file(path, "rb");
    MUST(bio != NULL);
    X509_CRL *crl = strstr(file, ".pem") != NULL ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)
                                                 : d2i_X509_CRL_bio(bio, NULL);
    BIO_free(bio);
    MUST(crl != NULL && X509_CRL_verify(crl, key) == 1);
    return crl;
}

static bool look_up_one(X509_CRL *crl, ASN1_INTEGER *serial, const uint8_t *bytes)
{
    X509_REVOKED *entry = NULL;
    MUST(ASN1_STRING_set(serial, bytes, SERIAL_BYTES) == 1);
    return X509_CRL_get0_by_serial(crl, &entry, serial) == 1;
}

static double look_up_openssl(X509_CRL *crl, uint8_t (*keys)[SERIAL_BYTES], bool want)
{
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    size_t found = 0;
    double start = cpu_ns();
    for (size_t i = 0; i < LOOKUPS; i++)
        found += look_up_one(crl, serial, keys[i]);
    double ns = (cpu_ns() - start) / LOOKUPS;
    MUST(found == (want ? LOOKUPS : 0));
    ASN1_INTEGER_free(serial);
    return ns;
}

static void measure_openssl(const char *folder, const char *file, uint64_t entries, bool in_a_row)
{
    struct figures f;
    char path[512];
    snprintf(path, sizeof(path), "%s/ca.pem", folder);
    FILE *in = fopen(path, "r");
    X509 *ca = in != NULL ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;
    MUST(ca != NULL && fclose(in) == 0);
    EVP_PKEY *key = X509_get0_pubkey(ca);
    X509_CRL *in_force = load_openssl(folder, "small.crl", key);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    struct keys k = make_keys(entries, in_a_row);
    forget_peak();
    double rss = memory_mb("VmRSS"), cpu = cpu_s();
    X509_CRL *fresh = load_openssl(folder, file, key), *old = in_force;
    MUST(look_up_one(fresh, serial, k.hits[0]));
    in_force = fresh;
    X509_CRL_free(old);
    f.cpu = cpu_s() - cpu;
    f.grown_mb = memory_mb("VmRSS") - rss;
    f.peak_mb = memory_mb("VmHWM") - rss;
    f.hit_ns = look_up_openssl(in_force, k.hits, true);
    f.miss_ns = look_up_openssl(in_force, k.misses, false);
    print_figures(&f);
    X509_CRL_free(in_force);
    ASN1_INTEGER_free(serial);
    X509_free(ca);
}

/* ---- the table ---- */

/* The least of each figure over the rounds: what others did to the machine meanwhile only adds. */
static struct figures run(
    const char *self, const char *who, const char *folder, const char *file, uint64_t entries)
{
    char command[2048];
    struct figures best = {1e9, 1e9, 1e9, 1e9, 1e9};
    snprintf(command, sizeof(command), "'%s' %s '%s' %s %llu", self, who, folder, file,
        (unsigned long long)entries);
    for (int round = 0; round < 3; round++) {
        struct figures f = {0};
        FILE *p = popen(command, "r");
        MUST(p != NULL &&
             fscanf(p, "%lf %lf %lf %lf %lf", &f.cpu, &f.grown_mb, &f.peak_mb, &f.hit_ns, &f.miss_ns) == 5 &&
             pclose(p) == 0);
        best.cpu = f.cpu < best.cpu ? f.cpu : best.cpu;
        best.grown_mb = f.grown_mb < best.grown_mb ? f.grown_mb : best.grown_mb;
        best.peak_mb = f.peak_mb < best.peak_mb ? f.peak_mb : best.peak_mb;
        best.hit_ns = f.hit_ns < best.hit_ns ? f.hit_ns : best.hit_ns;
        best.miss_ns = f.miss_ns < best.miss_ns ? f.miss_ns : best.miss_ns;
    }
    return best;
}

static void print_row(const char *file, const char *who, const struct figures *f, const struct figures *to)
{
    printf("%-12s %-8s %7.3f s %8.1f MB %8.1f MB %8.0f ns %8.0f ns", file, who, f->cpu, f->grown_mb,
        f->peak_mb, f->hit_ns, f->miss_ns);
    if (to != NULL)
        printf("   %.2f / %.2f / %.2f / %.2f / %.2f", f->cpu / to->cpu, f->grown_mb / to->grown_mb,
            f->peak_mb / to->peak_mb, f->hit_ns / to->hit_ns, f->miss_ns / to->miss_ns);
    printf("\n");
    fflush(stdout);
}

static int compare_all(const char *self, uint64_t entries)
{
    static const char *const files[] = {"random.crl", "random.pem", "sequence.crl"};
    static const char *const made[] = {"random", "sequence", "small"};
    char folder[] = "/tmp/sallyport-crl-XXXXXX", path[600];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    MUST(key != NULL && mkdtemp(folder) != NULL);
    X509 *ca = make_ca(folder, key);
    make_crl(folder, "random", ca, key, entries, false);
    make_crl(folder, "sequence", ca, key, entries, true);
    make_crl(folder, "small", ca, key, 10, true);
    struct stat st;
    snprintf(path, sizeof(path), "%s/random.crl", folder);
    MUST(stat(path, &st) == 0);
    printf(
        "%llu entries, %.1f MB DER; memory and peak are growth; least of 3 rounds; ratios ours / OpenSSL\n",
        (unsigned long long)entries, (double)st.st_size / 1e6);
    printf("%-12s %-8s %9s %11s %11s %11s %11s   %s\n", "file", "", "load CPU", "memory", "peak", "hit",
        "miss", "ratios in this order");
    for (size_t i = 0; i < SP_COUNTOF(files); i++) {
        struct figures theirs = run(self, "--openssl", folder, files[i], entries);
        struct figures ours = run(self, "--ours", folder, files[i], entries);
        print_row(files[i], "openssl", &theirs, NULL);
        print_row(files[i], "ours", &ours, &theirs);
    }
    for (size_t i = 0; i < 2 * SP_COUNTOF(made); i++) {
        snprintf(path, sizeof(path), "%s/%s.%s", folder, made[i / 2], i % 2 == 0 ? "crl" : "pem");
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/ca.pem", folder);
    unlink(path);
    rmdir(folder);
    X509_free(ca);
    EVP_PKEY_free(key);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t entries = argc == 2   ? strtoull(argv[1], NULL, 10)
                       : argc == 5 ? strtoull(argv[4], NULL, 10)
                                   : 1000000;
    if (entries == 0 || entries > 10000000 || (argc != 1 && argc != 2 && argc != 5)) {
        fprintf(stderr, "usage: %s [ENTRIES]\n", argv[0]);
        return 2;
    }
    if (argc != 5)
        return compare_all(argv[0], entries);
    bool in_a_row = strncmp(argv[3], "sequence", 8) == 0;
    if (strcmp(argv[1], "--ours") == 0)
        measure_ours(argv[2], argv[3], entries, in_a_row);
    else
        measure_openssl(argv[2], argv[3], entries, in_a_row);
    return 0;
}
