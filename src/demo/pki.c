/* The throwaway PKI, and what of it is written down:
 *
 *   Demo Root ------- Demo Issuing CA ----+-- server
 *      |  root.crl       |  issuing.crl   +-- billing, expired
 *    ca.pem              |                +-- mallory (listed in issuing.crl)
 *                        |                +-- auditor (listed, besides, in issuing.next.pem)
 *   Partner Root ----------------------------- partner
 *      |  partner.crl
 *    partner-ca.pem
 *
 * NAME.pem is the certificate with its intermediate behind it, NAME.key its key. The keys of the CAs stay in
 * memory and are gone when this file is done: nobody can issue more, so the list that will revoke the auditor is
 * made beforehand. */
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
static const struct sp_demo_profile PARTNER = {"Partner Root", {CA_EXTENSIONS("")}, -DAYS, DAYS};

static const struct leaf {
    const char *file;
    bool of_partner; /* issued by Partner Root */
    struct sp_demo_profile profile;
} LEAVES[] = {
    {"server", false,
        {SP_DEMO_NAME,
            {LEAF_EXTENSIONS("serverAuth"),
                {NID_subject_alt_name,
                    "DNS:" SP_DEMO_NAME ",DNS:" SP_DEMO_PARTNER_NAME ",IP:127.0.0.1,IP:::1"}},
            -1, DAYS}},
    {"billing", false,
        {"billing-batch", {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}},
            -1, DAYS}},
    {"auditor", false,
        {"Ann Auditor",
            {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "email:" SP_DEMO_AUDITOR_EMAIL}}, -1,
            DAYS}},
    {"mallory", false,
        {"mallory", {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}}, -1,
            DAYS}},
    {"expired", false,
        {"last-years-batch",
            {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_BILLING_URI}}, -2, -1}},
    {"partner", true,
        {"partner-orders",
            {LEAF_EXTENSIONS("clientAuth"), {NID_subject_alt_name, "URI:" SP_DEMO_PARTNER_URI}}, -1, DAYS}},
};

struct pki {
    const struct sp_demo_folder *folder;
    struct sp_demo_credential root, issuing, partner, leaves[SP_COUNTOF(LEAVES)];
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
    const struct sp_demo_list *list, struct sp_err *err)
{
    X509_CRL *crl = sp_demo_crl_make(ca, list, err);
    BIO *bio = BIO_new(BIO_s_mem());
    enum sp_rc rc = SP_FAIL;

    if (crl != NULL && bio != NULL && PEM_write_bio_X509_CRL(bio, crl))
        rc = write_bio(p, bio, name, "", err);
    else if (crl != NULL)
        sp_demo_ssl_err(err, name);
    BIO_free(bio);
    X509_CRL_free(crl);
    return rc;
}

static const X509 *find_leaf(const struct pki *p, const char *file)
{
    size_t i = 0;

    while (strcmp(LEAVES[i].file, file) != 0)
        i++;
    return p->leaves[i].cert;
}

/* The next list is newer in both ways that count: its number and its date. */
static enum sp_rc write_crls(const struct pki *p, struct sp_err *err)
{
    const struct sp_demo_entry mallory = {find_leaf(p, "mallory"), -1}, ann = {find_leaf(p, "auditor"), 0};
    const struct sp_demo_list nobody = {1, -1, DAYS, {{NULL, 0}}}, first = {1, -1, DAYS, {mallory}},
                              next = {2, 0, DAYS, {mallory, ann}};

    if (write_crl(p, "root.crl", &p->root, &nobody, err) != SP_OK ||
        write_crl(p, "partner.crl", &p->partner, &nobody, err) != SP_OK ||
        write_crl(p, SP_DEMO_CRL, &p->issuing, &first, err) != SP_OK)
        return SP_FAIL;
    return write_crl(p, SP_DEMO_NEXT_CRL, &p->issuing, &next, err);
}

static enum sp_rc make_leaf(
    const struct pki *p, const struct leaf *leaf, struct sp_demo_credential *made, struct sp_err *err)
{
    const struct sp_demo_credential *ca = leaf->of_partner ? &p->partner : &p->issuing;
    const X509 *behind = leaf->of_partner ? NULL : p->issuing.cert;

    if (sp_demo_credential_make(&leaf->profile, ca, made, err) != SP_OK ||
        write_chain(p, leaf->file, made->cert, behind, err) != SP_OK)
        return SP_FAIL;
    return write_key(p, leaf->file, made->key, err);
}

static enum sp_rc make_authorities(struct pki *p, struct sp_err *err)
{
    if (sp_demo_credential_make(&ROOT, NULL, &p->root, err) != SP_OK ||
        sp_demo_credential_make(&ISSUING, &p->root, &p->issuing, err) != SP_OK ||
        sp_demo_credential_make(&PARTNER, NULL, &p->partner, err) != SP_OK)
        return SP_FAIL;
    if (write_chain(p, "ca", p->root.cert, NULL, err) != SP_OK)
        return SP_FAIL;
    return write_chain(p, "partner-ca", p->partner.cert, NULL, err);
}

enum sp_rc sp_demo_pki_write(const struct sp_demo_folder *f, struct sp_err *err)
{
    struct pki p = {.folder = f};
    enum sp_rc rc = make_authorities(&p, err);

    for (size_t i = 0; rc == SP_OK && i < SP_COUNTOF(LEAVES); i++)
        rc = make_leaf(&p, &LEAVES[i], &p.leaves[i], err);
    if (rc == SP_OK)
        rc = write_crls(&p, err);
    for (size_t i = 0; i < SP_COUNTOF(LEAVES); i++)
        sp_demo_credential_free(&p.leaves[i]);
    sp_demo_credential_free(&p.root);
    sp_demo_credential_free(&p.issuing);
    sp_demo_credential_free(&p.partner);
    return rc;
}
