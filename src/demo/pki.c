/* The throwaway PKI, and what of it is written down:
 *
 *   Demo Root ---- Demo Issuing CA ----+-- server
 *      |  root.crl      |  issuing.crl +-- billing, auditor, expired
 *    ca.pem             |              +-- mallory (listed in issuing.crl)
 *   Other Root ---------|----------------- stranger
 *
 * NAME.pem is the certificate with its intermediate behind it, NAME.key its key. The keys of the CAs stay in
 * memory and are gone when this file is done: nobody can issue more. */
#include <openssl/pem.h>

#include "certificate.h"
#include "demo_impl.h"

/* Longer than anybody lets a demonstration run; CRLs last as long. */
#define DAYS 30

#define CA_EXTENSIONS(constraints)                                                                           \
    {NID_basic_constraints, "critical,CA:TRUE" constraints},                                                 \
    {                                                                                                        \
        NID_key_usage, "critical,keyCertSign,cRLSign"                                                        \
    }
#define LEAF_EXTENSIONS(purpose)                                                                             \
    {NID_basic_constraints, "critical,CA:FALSE"}, {NID_key_usage, "critical,digitalSignature"},              \
    {                                                                                                        \
        NID_ext_key_usage, purpose                                                                           \
    }

static const struct sp_demo_profile ROOT = {"Demo Root", {CA_EXTENSIONS("")}, -DAYS, DAYS};
static const struct sp_demo_profile ISSUING = {"Demo Issuing CA", {CA_EXTENSIONS(",pathlen:0")}, -DAYS, DAYS};
static const struct sp_demo_profile OTHER = {"Other Root", {CA_EXTENSIONS("")}, -DAYS, DAYS};

static const struct leaf {
    const char *file;
    bool of_other; /* issued by Other Root */
    bool revoked;
    struct sp_demo_profile profile;
} LEAVES[] = {
    {"server", false, false,
        {"localhost",
            {LEAF_EXTENSIONS("serverAuth"),
                {NID_subject_alt_name, "DNS:localhost,DNS:billing.internal,IP:127.0.0.1,IP:::1"}},
            -1, DAYS}},
    {"billing", false, false,
        {"billing-batch", {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}},
            -1, DAYS}},
    {"auditor", false, false,
        {"Ann Auditor",
            {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "email:" SP_DEMO_AUDITOR_EMAIL}}, -1,
            DAYS}},
    {"mallory", false, true,
        {"mallory", {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}}, -1,
            DAYS}},
    {"expired", false, false,
        {"last-years-batch",
            {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}}, -2, -1}},
    {"stranger", true, false,
        {"stranger", {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}}, -1,
            DAYS}},
};

struct pki {
    const struct sp_demo_folder *folder;
    struct sp_demo_credential root, issuing, other;
};

/* Writes what `bio` holds. */
static enum sp_rc write_bio(
    const struct pki *p, BIO *bio, const char *name, const char *suffix, struct sp_err *err)
{
    char file[64], *text = NULL;
    long len = BIO_get_mem_data(bio, &text);

    snprintf(file, sizeof(file), "%s%s", name, suffix);
    if (len <= 0)
        return sp_err_set(err, "%s: nothing to write", file);
    return sp_demo_folder_write(p->folder, file, (struct sp_slice){text, (size_t)len}, err);
}

static enum sp_rc write_chain(
    const struct pki *p, const char *name, const X509 *leaf, const X509 *issuer, struct sp_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    enum sp_rc rc = SP_FAIL;

    if (bio != NULL && PEM_write_bio_X509(bio, leaf) && (issuer == NULL || PEM_write_bio_X509(bio, issuer)))
        rc = write_bio(p, bio, name, ".pem", err);
    else
        sp_demo_ssl_err(err, name);
    BIO_free(bio);
    return rc;
}

static enum sp_rc write_key(const struct pki *p, const char *name, const EVP_PKEY *key, struct sp_err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    enum sp_rc rc = SP_FAIL;

    if (bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        rc = write_bio(p, bio, name, ".key", err);
    else
        sp_demo_ssl_err(err, name);
    BIO_free(bio);
    return rc;
}

static enum sp_rc write_crl(const struct pki *p, const char *name, const struct sp_demo_credential *ca,
    const X509 *revoked, struct sp_err *err)
{
    X509_CRL *crl = sp_demo_crl_make(ca, revoked, DAYS, err);
    BIO *bio = BIO_new(BIO_s_mem());
    enum sp_rc rc = SP_FAIL;

    if (crl != NULL && bio != NULL && PEM_write_bio_X509_CRL(bio, crl))
        rc = write_bio(p, bio, name, ".crl", err);
    else if (crl != NULL)
        sp_demo_ssl_err(err, name);
    BIO_free(bio);
    X509_CRL_free(crl);
    return rc;
}

static enum sp_rc make_leaf(const struct pki *p, const struct leaf *leaf, struct sp_err *err)
{
    const struct sp_demo_credential *ca = leaf->of_other ? &p->other : &p->issuing;
    const X509 *behind = leaf->of_other ? NULL : p->issuing.cert;
    struct sp_demo_credential made;

    if (sp_demo_credential_make(&leaf->profile, ca, &made, err) != SP_OK)
        return SP_FAIL;
    enum sp_rc rc = write_chain(p, leaf->file, made.cert, behind, err);
    if (rc == SP_OK)
        rc = write_key(p, leaf->file, made.key, err);
    if (rc == SP_OK && leaf->revoked)
        rc = write_crl(p, "issuing", &p->issuing, made.cert, err);
    sp_demo_credential_free(&made);
    return rc;
}

static enum sp_rc make_authorities(struct pki *p, struct sp_err *err)
{
    if (sp_demo_credential_make(&ROOT, NULL, &p->root, err) != SP_OK ||
        sp_demo_credential_make(&ISSUING, &p->root, &p->issuing, err) != SP_OK ||
        sp_demo_credential_make(&OTHER, NULL, &p->other, err) != SP_OK)
        return SP_FAIL;
    if (write_chain(p, "ca", p->root.cert, NULL, err) != SP_OK)
        return SP_FAIL;
    return write_crl(p, "root", &p->root, NULL, err);
}

enum sp_rc sp_demo_pki_write(const struct sp_demo_folder *f, struct sp_err *err)
{
    struct pki p = {.folder = f};
    enum sp_rc rc = make_authorities(&p, err);

    for (size_t i = 0; rc == SP_OK && i < SP_COUNTOF(LEAVES); i++)
        rc = make_leaf(&p, &LEAVES[i], err);
    sp_demo_credential_free(&p.root);
    sp_demo_credential_free(&p.issuing);
    sp_demo_credential_free(&p.other);
    return rc;
}
