/* What operators are told of a listener's own certificates: kept as plain text and numbers when they are loaded, so
 * that nobody has to ask OpenSSL for them on another thread. */
#include <stdio.h>
#include <time.h>

#include "sallyport/base/mem.h"
#include "tls_private.h"

struct shown {
    struct shown *next;
    struct sp_tls_certificate facts;
    char subject[];
};

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

bool report_note(struct sp_tls_server *server, size_t host, const char *file, const X509 *leaf,
    const char *const *names, size_t name_count)
{
    struct sp_cert_facts facts;
    struct shown **end = &server->shown;
    while (*end != NULL)
        end = &(*end)->next;
    sp_cert_facts_of(leaf, &facts);
    size_t room = strlen(facts.subject) + 1;
    struct shown *s = sp_alloc(1, sizeof *s + room);
    if (s == NULL)
        return false;
    memcpy(s->subject, facts.subject, room);
    s->facts = (struct sp_tls_certificate){
        .host = host,
        .file = file,
        .subject = s->subject,
        .names = names,
        .name_count = name_count,
        .not_before = seconds_of(X509_get0_notBefore(leaf)),
        .not_after = seconds_of(X509_get0_notAfter(leaf)),
    };
    *end = s;
    return true;
}

void report_free(struct sp_tls_server *server)
{
    while (server->shown != NULL) {
        struct shown *s = server->shown;
        server->shown = s->next;
        sp_free(s);
    }
}

void sp_tls_server_each_certificate(const struct sp_tls_server *s,
    void (*each)(void *arg, const struct sp_tls_certificate *certificate), void *arg)
{
    for (const struct shown *it = s->shown; it != NULL; it = it->next)
        each(arg, &it->facts);
}
