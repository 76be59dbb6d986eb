/* Is the backend who it should be? Its chain was judged by pki; here its names are compared with what the operator, or
 * the endpoint's own address, asks for.
 *
 * Subject alternative names alone count, each with its own matcher: a DNS name never stands for an address, nor a URI for a
 * DNS name, and the common name for nothing (RFC 9525 §2). They come by pointer and length, and a certificate with a name
 * that holds a NUL or a control character has been refused by then. A wildcard is the whole leftmost label, stands for
 * one label, and two more have to be behind it. */
#include <arpa/inet.h>
#include <stdio.h>

#include "client_impl.h"
#include "sallyport/base/mem.h"

/* ---- what is asked for ---- */

/* Without the brackets of a URI and the zone of a link-local address, which no certificate has. */
static struct sp_slice bare_address(struct sp_slice text)
{
    if (text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = sp_slice_sub(text, 1, text.len - 1);
    const char *zone = text.len > 0 ? memchr(text.ptr, '%', text.len) : NULL;
    return zone != NULL ? sp_slice_sub(text, 0, (size_t)(zone - text.ptr)) : text;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || sp_is_digit(c) || c == '-' || c == '_' || c == '.';
}

struct wanted wanted_of(const char *text)
{
    struct wanted w = {.kind = WANTED_NOTHING};
    struct sp_slice name = sp_slice_of(text != NULL ? text : "");
    struct sp_slice address = bare_address(name);
    if (memchr(name.ptr, '/', name.len) == NULL && sp_cidr_compile(address, &w.address) == NULL) {
        w.kind = WANTED_ADDRESS;
        snprintf(w.text, sizeof w.text, "%.*s", SP_FMT(address));
        return w;
    }
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len >= sizeof w.text || name.ptr[0] == '.')
        return w;
    for (size_t i = 0; i < name.len; i++) {
        w.text[i] = sp_lower(name.ptr[i]);
        if (!is_name_byte(w.text[i]))
            return w;
    }
    w.text[name.len] = '\0';
    w.kind = WANTED_DNS;
    return w;
}

/* ---- what the certificate says ---- */

/* "*.example.com": the whole label, and two more behind it. */
static bool is_good_wildcard(struct sp_slice name)
{
    struct sp_slice rest = sp_slice_sub(name, 2, name.len);
    const char *dot = rest.len > 0 ? memchr(rest.ptr, '.', rest.len) : NULL;
    return dot != NULL && dot != rest.ptr && dot != rest.ptr + rest.len - 1 &&
           memchr(rest.ptr, '*', rest.len) == NULL;
}

static bool dns_name_fits(struct sp_slice name, struct sp_slice wanted)
{
    char text[WANTED_ROOM];
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > sizeof text)
        return false;
    for (size_t i = 0; i < name.len; i++)
        text[i] = sp_lower(name.ptr[i]);
    struct sp_slice pattern = {text, name.len};
    if (sp_slice_starts(pattern, SP_SLICE("*.")) && !is_good_wildcard(pattern))
        return false;
    return sp_config_host_matches(pattern, wanted);
}

bool wanted_is_met(const struct wanted *w, const struct sp_identity *backend)
{
    for (size_t i = 0; w->kind == WANTED_DNS && i < backend->dns_names.count; i++) {
        if (dns_name_fits(backend->dns_names.items[i], sp_slice_of(w->text)))
            return true;
    }
    for (size_t i = 0; w->kind == WANTED_ADDRESS && i < backend->ips.count; i++) {
        struct sp_slice ip = backend->ips.items[i];
        if (sp_cidr_match(&w->address, (const uint8_t *)ip.ptr, ip.len))
            return true;
    }
    return false;
}

static bool uri_is_met(const struct sp_uri_pattern *pattern, const struct sp_identity *backend)
{
    for (size_t i = 0; i < backend->uris.count; i++) {
        if (sp_uri_pattern_match(pattern, backend->uris.items[i]))
            return true;
    }
    return false;
}

/* ---- the verdict ---- */

/* What it is called instead, as far as there is room. */
static void say_names(const struct sp_identity *backend, struct sp_buf *out)
{
    const struct {
        const char *type;
        const struct sp_slices *names;
    } lists[] = {{"DNS:", &backend->dns_names}, {"URI:", &backend->uris}};
    size_t said = 0;
    for (size_t l = 0; l < SP_COUNTOF(lists); l++) {
        for (size_t i = 0; i < lists[l].names->count; i++)
            sp_buf_printf(
                out, "%s%s%.*s", said++ > 0 ? ", " : "", lists[l].type, SP_FMT(lists[l].names->items[i]));
    }
    for (size_t i = 0; i < backend->ips.count; i++) {
        const struct sp_slice ip = backend->ips.items[i];
        char text[INET6_ADDRSTRLEN] = "";
        (void)inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, ip.ptr, text, sizeof text);
        sp_buf_printf(out, "%sIP:%s", said++ > 0 ? ", " : "", text);
    }
    if (said == 0)
        sp_buf_add_str(out, "none at all");
}

static bool refuse(const char *wanted, const struct sp_identity *backend, struct sp_verdict *out)
{
    struct sp_buf names = {0};
    say_names(backend, &names);
    *out = (struct sp_verdict){
        .accepted = false, .reason = SP_REFUSAL_name_convention, .x509_error = X509_V_ERR_HOSTNAME_MISMATCH};
    snprintf(out->detail, sizeof out->detail, "it is not %s; its names are: %.*s", wanted,
        SP_FMT(sp_buf_slice(&names)));
    sp_buf_free(&names);
    return false;
}

bool backend_is_wanted(const struct sp_tls_client *c, const struct probe *p,
    const struct sp_identity *backend, struct sp_verdict *out)
{
    const struct sp_config_upstream_tls *tls = c->tls;
    if (tls->name != NULL) {
        const struct wanted name = wanted_of(tls->name);
        if (!wanted_is_met(&name, backend))
            return refuse(tls->name, backend, out);
    }
    if (tls->uri != NULL && !uri_is_met(&c->uri, backend))
        return refuse(tls->uri, backend, out);
    if (tls->name != NULL || tls->uri != NULL || wanted_is_met(&p->host, backend))
        return true;
    if (p->host.kind == WANTED_NOTHING)
        return refuse(
            "known whom to expect (no tls.name, no tls.uri, and the endpoint has no name)", backend, out);
    return refuse(p->host.text, backend, out);
}
