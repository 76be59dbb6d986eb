/* A TLS server of ours and an OpenSSL client in one thread, over a socketpair. The client's bytes go through
 * memory, so that the test decides how they are cut. */
#ifndef SP_TESTS_TLS_FIXTURE_H
#define SP_TESTS_TLS_FIXTURE_H

#include <openssl/ssl.h>

#include "pki_fixture.h"
#include "sallyport/tls/server.h"

/* Everything that the tests present to each other, made once. Validity is relative to the real clock: TLS uses
 * it. */
struct tls_pki {
    struct fix_cert client_ca, other_ca, server_ca;
    struct fix_cert good, p224, stranger, expired, wrong_purpose, hostile;
    struct fix_cert site_a, site_wild, site_rsa, site_ec, site_plain; /* servers */
};
void tls_pki_make(struct tls_pki *p);
void tls_pki_free(struct tls_pki *p);
/* Writes chain and key below the fixture's folder. */
struct sp_config_certificate tls_files(const char *name, const struct fix_cert *c);
const char *tls_write_key(const char *name, EVP_PKEY *key, const char *passphrase);

/* A listener as a test wants it. Zero is one host that requires a certificate, without tickets. */
#define TLS_HOSTS 3
struct tls_host {
    const char *names[3];
    enum sp_auth_mode mode;
    const struct fix_cert *ca; /* NULL: client_ca */
    const char *crl;           /* file; NULL: none */
    uint64_t max_session_age_ms;
    const struct sp_config_certificate *certs;
    size_t cert_count;
};
struct tls_plan {
    enum sp_tls_version min;
    bool reject_unknown_sni;
    enum sp_listener_mode mode;
    struct sp_strings alpn;
    struct sp_tls_library *library; /* borrowed, or NULL */
    struct sp_config_tickets tickets;
    struct sp_tickets *keys;      /* borrowed, or NULL */
    struct sp_sessions *sessions; /* borrowed, or NULL; with neither no session is resumed */
    struct tls_host hosts[TLS_HOSTS];
    size_t host_count; /* 0: one */
};

struct tls_end {
    struct tls_setting *setting; /* what the server borrows */
    struct sp_trust *trusts[TLS_HOSTS];
    struct sp_tls_server *server;
};
/* `server` is NULL if it cannot be made: `diags` says why. */
struct tls_end tls_end_try(struct tls_pki *p, const struct tls_plan *plan, struct sp_diags *diags);
/* These fail the test then. */
struct tls_end tls_end_plan(struct tls_pki *p, const struct tls_plan *plan);
struct tls_end tls_end_make(struct tls_pki *p, enum sp_auth_mode mode, enum sp_tls_version min,
    const struct sp_config_certificate *certs, size_t count);
void tls_end_free(struct tls_end *e);

/* What the client does; zero is an ordinary client without a certificate. */
struct tls_client {
    const struct fix_cert *cert;
    EVP_PKEY *key_instead; /* signs with this one */
    unsigned chain_junk;   /* so many more certificates */
    int min, max;          /* versions; 0: any */
    const char *sni, *ciphers, *groups, *sigalgs;
    struct sp_slice alpn;         /* in wire format */
    bool distrusts;               /* does not know the server's CA */
    const struct fix_cert *above; /* an intermediate that goes with its certificate */
    SSL_SESSION *session;         /* borrowed; asks to resume this one */
    uint64_t options;             /* SSL_OP_... */
    bool fragments;               /* records of 512 bytes */
    struct sp_slice early;        /* sent as soon as the client may, behind its Finished */
    size_t chunk;                 /* bytes of the client delivered at a time; 0: all */
};

struct tls_link {
    struct sp_transport *t;
    SSL_CTX *ctx;
    SSL *client;
    BIO *to_client, *from_client;
    int fd; /* the client's end; -1 closed */
    enum sp_rc rc;
    struct sp_tls_refusal refusal;
    size_t chunk;
    bool client_done, client_failed;
    bool server_ended; /* the socket gave EOF */
    unsigned tickets;
    SSL_SESSION *session; /* what came last that could be resumed, or NULL */
    int alert;            /* that the client received, 0 none */
};

/* Connects; the client is created, no byte has gone. */
void tls_link_open(struct tls_link *l, struct tls_end *e, const struct tls_client *c);
/* Both sides shake hands until the server has decided. l->rc, l->refusal. */
void tls_link_shake(struct tls_link *l, const struct tls_client *c);
void tls_link_free(struct tls_link *l);
/* Everything that the client wants to send goes to the socket as far as it fits, and what the server sent to
 * the client. */
void tls_link_carry(struct tls_link *l);
void tls_ready(struct sp_transport *t);

#endif
