/* The families of identity headers, one function each: the values are the identity's own bytes wherever the format
 * allows. An absent value has no line.
 *
 * plain    X-Client-*
 * rfc9440  Client-Cert and Client-Cert-Chain (RFC 9440 §2): a structured-field byte sequence each, the chain a list of them, in
 *          TLS order, without the trust anchor, and only when there is one
 *
 * Identity bytes are printable ASCII by the time they are an sp_identity; the codec refuses anything else once
 * more. */
#include "families.h"

#include "sallyport/base/clock.h"

void sp_headers_put_plain(struct sp_headers_writer *w, const struct sp_identity *id)
{
    char time[SP_RFC3339_MAX];

    sp_headers_put(w, SP_SLICE("X-Client-Verify"), id != NULL ? SP_SLICE("SUCCESS") : SP_SLICE("NONE"));
    if (id == NULL)
        return;
    sp_headers_put(w, SP_SLICE("X-Client-Subject"), id->subject);
    sp_headers_put(w, SP_SLICE("X-Client-Issuer"), id->issuer);
    sp_headers_put(w, SP_SLICE("X-Client-Serial"), id->serial_hex);
    sp_headers_put_each(w, SP_SLICE("X-Client-SAN-URI"), &id->uris);
    sp_headers_put_each(w, SP_SLICE("X-Client-SAN-DNS"), &id->dns_names);
    sp_headers_put_each(w, SP_SLICE("X-Client-SAN-Email"), &id->emails);
    sp_headers_put(w, SP_SLICE("X-Client-Cert-SHA256"), id->sha256_hex);
    sp_headers_put_text(
        w, SP_SLICE("X-Client-Not-After"), sp_time_rfc3339(id->not_after * 1000000, false, time));
    sp_headers_put(w, SP_SLICE("X-Client-Cert-Thumbprint"), id->sha256_b64url);
}

void sp_headers_put_rfc9440(struct sp_headers_writer *w, const struct sp_identity *id)
{
    if (id == NULL)
        return;
    sp_headers_put(w, SP_SLICE("Client-Cert"), id->client_cert);
    sp_headers_put(w, SP_SLICE("Client-Cert-Chain"), id->client_cert_chain);
}
