/* The families that are one line a fact. The values are the identity's own bytes wherever the format allows. An absent value
 * has no line.
 *
 * plain    X-Client-*
 * rfc9440  Client-Cert and Client-Cert-Chain (RFC 9440 §2): a structured-field byte sequence each, the chain a list of them, in
 *          TLS order, without the trust anchor, and only when there is one
 * nginx    X-SSL-Client-*: what nginx' variables $ssl_client_verify, _s_dn, _i_dn, _serial, _fingerprint and _escaped_cert hold
 * alb      X-Amzn-Mtls-Clientcert-*: what an Application Load Balancer says in its verify mode
 *
 * Elsewhere: xfcc.c, traefik.c; the operator's own in templates.c. */
#include "families.h"

void sp_headers_put_plain(struct sp_headers_writer *w, const struct sp_identity *id)
{
    struct sp_buf until = {0};

    sp_headers_put(w, SP_SLICE("X-Client-Verify"), id != NULL ? SP_SLICE("SUCCESS") : SP_SLICE("NONE"));
    if (id == NULL)
        return;
    sp_headers_put_dn(w, SP_SLICE("X-Client-Subject"), id->subject);
    sp_headers_put_dn(w, SP_SLICE("X-Client-Issuer"), id->issuer);
    sp_headers_put(w, SP_SLICE("X-Client-Serial"), id->serial_hex);
    sp_headers_put_each(w, SP_SLICE("X-Client-SAN-URI"), &id->uris);
    sp_headers_put_each(w, SP_SLICE("X-Client-SAN-DNS"), &id->dns_names);
    sp_headers_put_each(w, SP_SLICE("X-Client-SAN-Email"), &id->emails);
    sp_headers_put(w, SP_SLICE("X-Client-Cert-SHA256"), id->sha256_hex);
    if (sp_headers_has_validity(id))
        sp_headers_add_time(&until, id->not_after);
    sp_headers_put_buf(w, SP_SLICE("X-Client-Not-After"), &until);
    sp_headers_put(w, SP_SLICE("X-Client-Cert-Thumbprint"), id->sha256_b64url);
}

void sp_headers_put_rfc9440(struct sp_headers_writer *w, const struct sp_identity *id)
{
    if (id == NULL)
        return;
    sp_headers_put(w, SP_SLICE("Client-Cert"), id->client_cert);
    sp_headers_put(w, SP_SLICE("Client-Cert-Chain"), id->client_cert_chain);
}

static void put_upper(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice hex)
{
    struct sp_buf text = {0};

    sp_headers_add_upper(&text, hex);
    sp_headers_put_buf(w, name, &text);
}

static void put_pem(
    struct sp_headers_writer *w, struct sp_slice name, const struct sp_identity *id, enum sp_pem_safe safe)
{
    struct sp_slice list = id->client_cert, base64;
    struct sp_buf text = {0};

    if (sp_headers_next_base64(&list, &base64))
        sp_headers_add_pem(&text, base64, safe);
    sp_headers_put_buf(w, name, &text);
}

void sp_headers_put_nginx(struct sp_headers_writer *w, const struct sp_identity *id)
{
    sp_headers_put(w, SP_SLICE("X-SSL-Client-Verify"), id != NULL ? SP_SLICE("SUCCESS") : SP_SLICE("NONE"));
    if (id == NULL)
        return;
    sp_headers_put_dn(w, SP_SLICE("X-SSL-Client-S-DN"), id->subject);
    sp_headers_put_dn(w, SP_SLICE("X-SSL-Client-I-DN"), id->issuer);
    put_upper(w, SP_SLICE("X-SSL-Client-Serial"), id->serial_hex);
    sp_headers_put(w, SP_SLICE("X-SSL-Client-Fingerprint"), id->sha1_hex);
    put_pem(w, SP_SLICE("X-SSL-Client-Cert"), id, SP_PEM_UNRESERVED);
}

void sp_headers_put_alb(struct sp_headers_writer *w, const struct sp_identity *id)
{
    struct sp_buf validity = {0};

    if (id == NULL)
        return;
    put_upper(w, SP_SLICE("X-Amzn-Mtls-Clientcert-Serial-Number"), id->serial_hex);
    sp_headers_put_dn(w, SP_SLICE("X-Amzn-Mtls-Clientcert-Issuer"), id->issuer);
    sp_headers_put_dn(w, SP_SLICE("X-Amzn-Mtls-Clientcert-Subject"), id->subject);
    if (sp_headers_has_validity(id)) {
        sp_buf_add_str(&validity, "NotBefore=");
        sp_headers_add_time(&validity, id->not_before);
        sp_buf_add_str(&validity, ";NotAfter=");
        sp_headers_add_time(&validity, id->not_after);
    }
    sp_headers_put_buf(w, SP_SLICE("X-Amzn-Mtls-Clientcert-Validity"), &validity);
    put_pem(w, SP_SLICE("X-Amzn-Mtls-Clientcert-Leaf"), id, SP_PEM_KEEPS_BASE64);
}
