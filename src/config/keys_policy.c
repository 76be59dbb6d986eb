/* The keys of `callers`, `rules`, `trusted_proxies` and `require`: who may do what. As in keys.c, one row a key. */
#include "config/keys.h"

/* clang-format off */

/* ---- words ---- */
static const struct sp_word any_callers[] = {{"authenticated", SP_CALLER_ANY_AUTHENTICATED}, {"anonymous", SP_CALLER_ANY_ANONYMOUS}, {NULL, 0}};
static const struct sp_word qc_types[]    = {{"web", SP_QC_WEB}, {"eseal", SP_QC_ESEAL}, {"esign", SP_QC_ESIGN}, {NULL, 0}};
static const struct sp_word psd2_roles[]  = {{"PSP_AS", SP_PSD2_AS}, {"PSP_PI", SP_PSD2_PI}, {"PSP_AI", SP_PSD2_AI}, {"PSP_IC", SP_PSD2_IC}, {NULL, 0}};
static const struct sp_word client_ekus[] = {{"if_present", 0}, {"required", 1}, {NULL, 0}};
static const struct sp_word presences[]   = {{"may", SP_PRESENCE_MAY}, {"must", SP_PRESENCE_MUST}, {"must_not", SP_PRESENCE_MUST_NOT}, {NULL, 0}};
static const struct sp_word xfcc_modes[]  = {{"sanitize_set", SP_XFCC_SANITIZE_SET}, {"append_forward", SP_XFCC_APPEND_FORWARD}, {"forward_only", SP_XFCC_FORWARD_ONLY}, {NULL, 0}};
static const struct sp_word forwarded_modes[] = {{"replace", 0}, {"append", 1}, {NULL, 0}};
const struct sp_word sp_words_rule_mode[] = {{"enforce", SP_RULE_ENFORCE}, {"report", SP_RULE_REPORT}, {NULL, 0}};

/* ---- requirements ---- */
static const struct sp_key naming_keys[] = {
/*  name        type               field                             min  max   default */
    {"presence", &sp_type_choice,   AT(sp_config_naming, presence),   0,   0,    "may",
     .doc = "Whether the certificate must, may or must not have names of this type.", .words = presences},
    {"patterns", &sp_type_patterns, AT(sp_config_naming, patterns),   1,   1024, NULL,
     .doc = "Each name of this type fits one of these, written as in a caller's entry. Not given: any."},
};
const struct sp_section sp_section_naming = {
    "require.names.<type>", "What names (SANs) of one type are to be.",
    KEYS(naming_keys), sizeof(struct sp_config_naming), SP_NOWHERE, SP_NOWHERE, sp_check_naming};

static const struct sp_key names_keys[] = {
/*  name      type              field                                              min  max  default */
    {"uri",   &sp_type_section, AT(sp_config_requirements, names[SP_NAME_URI]),    1,   0,   NULL,
     .doc = "URI names.", .section = &sp_section_naming},
    {"dns",   &sp_type_section, AT(sp_config_requirements, names[SP_NAME_DNS]),    1,   0,   NULL,
     .doc = "DNS names.", .section = &sp_section_naming},
    {"email", &sp_type_section, AT(sp_config_requirements, names[SP_NAME_EMAIL]),  1,   0,   NULL,
     .doc = "E-mail names.", .section = &sp_section_naming},
    {"ip",    &sp_type_section, AT(sp_config_requirements, names[SP_NAME_IP]),     1,   0,   NULL,
     .doc = "Addresses; their patterns are addresses and blocks.", .section = &sp_section_naming},
};
const struct sp_section sp_section_names = {
    "require.names", "A convention for the names (SANs) that certificates have, by type.",
    KEYS(names_keys), sizeof(struct sp_config_requirements), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key require_keys[] = {
/*  name                     type                 field                                               min    max       default */
    {"max_validity",         &sp_type_duration,   AT(sp_config_requirements, max_validity_ms),        1*S,   36500*D,  NULL,
     .doc = "The longest span from `notBefore` to `notAfter`. Not given: any."},
    {"key_types",            &sp_type_key_types,  AT(sp_config_requirements, key_types),              1,     4,        NULL,
     .doc = "The kinds of key that are accepted. Not given: any."},
    {"min_rsa_bits",         &sp_type_count,      AT(sp_config_requirements, min_rsa_bits),           1024,  16384,    NULL,
     .doc = "The least length of an RSA key. Not given: any that the handshake accepts."},
    {"min_ec_bits",          &sp_type_count,      AT(sp_config_requirements, min_ec_bits),            160,   521,      NULL,
     .doc = "The least size of an elliptic curve. Not given: any that the handshake accepts."},
    {"signature_algorithms", &sp_type_algorithms, AT(sp_config_requirements, signature_algorithms),   1,     64,       NULL,
     .doc = "What the client's certificate may be signed with: names as OpenSSL has them (`ecdsa-with-SHA256`), or OIDs. Not given: any."},
    {"eku",                  &sp_type_purposes,   AT(sp_config_requirements, eku),                    1,     64,       NULL,
     .doc = "Extended key usages that the certificate must all have: names (`clientAuth`) or OIDs."},
    {"policies",             &sp_type_oids,       AT(sp_config_requirements, policies),               1,     64,       NULL,
     .doc = "Certificate policies that it must all have: OIDs."},
    {"client_eku",           &sp_type_flag,       AT(sp_config_requirements, client_eku_required),    0,     0,        "if_present",
     .doc = "`required`: the certificate says itself that it is for clients. `if_present`: one without any extended key usage is accepted too.", .words = client_ekus},
    {"names",                &sp_type_section,    0,                                                  1,     0,        NULL,
     .doc = "What names it has.", .section = &sp_section_names},
};
const struct sp_section sp_section_require = {
    "require", "What is asked of a client's certificate beside that it verifies, of `listeners[].client_auth` or of a caller. A certificate that fails one is refused, with a reason of its own for each.",
    KEYS(require_keys), sizeof(struct sp_config_requirements), AT(sp_config_requirements, at), SP_NOWHERE, sp_check_require};

/* ---- callers ---- */
static const struct sp_key entry_keys[] = {
/*  name                  type                  field                                           min  max   default */
    {"uri",                &sp_type_pattern,     AT(sp_config_caller_entry, uri),                0,   0,    NULL,
     .doc = "A URI name (SAN) of the certificate, such as a SPIFFE id. Scheme and authority are literal; in the path `*` and `**` stand for what they do in `rules[].path`."},
    {"dns",                &sp_type_pattern,     AT(sp_config_caller_entry, dns),                0,   0,    NULL,
     .doc = "A DNS name (SAN) of the certificate; `*.example.com` is every name with exactly one more label."},
    {"email",              &sp_type_pattern,     AT(sp_config_caller_entry, email),              0,   0,    NULL,
     .doc = "An e-mail name (SAN) of the certificate: `name@domain`, or `*@domain` for every name there."},
    {"ip",                 &sp_type_block,       AT(sp_config_caller_entry, ip),                 0,   0,    NULL,
     .doc = "An address (SAN) of the certificate, or a block that it lies in. Not where the client comes from: that is `rules[].source`."},
    {"subject",            &sp_type_subject,     AT(sp_config_caller_entry, subject),            1,   32,   NULL,
     .doc = "Attributes that the certificate's subject must have, each with exactly this value: `{CN: billing-batch, O: Example}`. A list of values: all of them must be there. A type is a name (`CN`, `O`, `OU`, `organizationIdentifier`, ...) or a dotted OID.",
     .extra = AT(sp_config_caller_entry, subject_count)},
    {"issuer",             &sp_type_subject,     AT(sp_config_caller_entry, issuer),             1,   32,   NULL,
     .doc = "Likewise, attributes of its issuer.",
     .extra = AT(sp_config_caller_entry, issuer_count)},
    {"serial",             &sp_type_serial,      AT(sp_config_caller_entry, serial),             0,   0,    NULL,
     .doc = "The certificate's serial number in hex. Unique only together with `issuer`."},
    {"fingerprint_sha256", &sp_type_fingerprint, AT(sp_config_caller_entry, fingerprint_sha256), 0,   0,    NULL,
     .doc = "SHA-256 of the certificate itself."},
    {"spki_sha256",        &sp_type_fingerprint, AT(sp_config_caller_entry, spki_sha256),        0,   0,    NULL,
     .doc = "SHA-256 of its public key (SubjectPublicKeyInfo): stays when the certificate is renewed with the same key."},
    {"policy",             &sp_type_oid,         AT(sp_config_caller_entry, policy),             0,   0,    NULL,
     .doc = "A certificate policy that it has."},
    {"qc_type",            &sp_type_choice,      AT(sp_config_caller_entry, qc_type),            0,   0,    NULL,
     .doc = "What the qualified certificate is for (eIDAS; `web` is a QWAC). One without QcCompliance is not qualified and has no type.", .words = qc_types},
    {"psd2_roles",         &sp_type_flags,       AT(sp_config_caller_entry, psd2_roles),         1,   4,    NULL,
     .doc = "Roles of a payment service provider that its QCStatement names; all of them.", .words = psd2_roles},
    {"psd2_authority",     &sp_type_authority,   AT(sp_config_caller_entry, psd2_authority),     0,   0,    NULL,
     .doc = "The competent authority that it names there, such as `DE-BAFIN`."},
    {"caller",             &sp_type_reference,   AT(sp_config_caller_entry, caller),             0,   0,    NULL,
     .doc = "Whoever is this other caller.", .extra = AT(sp_config_caller_entry, caller_at)},
    {"file",               &sp_type_path,        AT(sp_config_caller_entry, file),               0,   0,    NULL,
     .doc = "A file of one identity a line, such as `uri:spiffe://corp.example/x`; also `dns:`, `email:`, `ip:`, `serial:`, `fingerprint_sha256:`, `spki_sha256:` and `subject.CN:`. Blank lines and lines that begin with `#` are skipped. Read again when it changes."},
    {"any",                &sp_type_choice,      AT(sp_config_caller_entry, any),                0,   0,    NULL,
     .doc = "`authenticated`: whoever has a certificate that verifies. `anonymous`: whoever has shown none (with `client_auth.mode: optional`). Stands alone in its entry.",
     .words = any_callers},
};
const struct sp_section sp_section_entry = {
    "callers.<name>.match[]", "One way to be this caller. An entry holds when all of its fields hold; a caller is whoever any of the entries describes. At least one field must be given.",
    KEYS(entry_keys), sizeof(struct sp_config_caller_entry), AT(sp_config_caller_entry, at), SP_NOWHERE, sp_check_entry};

static const struct sp_key caller_limits_keys[] = {
/*  name                    type            field                                               min  max       default */
    {"rate",                &sp_type_rate,  AT(sp_config_caller_limits, rate),                  1,   1000000,  NULL,
     .doc = "Requests in a second, minute or hour. Beyond it: 429 with `Retry-After`."},
    {"burst",               &sp_type_count, AT(sp_config_caller_limits, burst),                 1,   1000000,  NULL,
     .doc = "Requests that may come at once, with `rate`. Not given: what `rate` gives in a second, at least 1."},
    {"concurrent_requests", &sp_type_count, AT(sp_config_caller_limits, concurrent_requests),   1,   1000000,  NULL,
     .doc = "Requests in flight. Beyond it: 429 with `Retry-After`."},
    {"connections",         &sp_type_count, AT(sp_config_caller_limits, connections),           1,   1000000,  NULL,
     .doc = "Open connections. One beyond it is closed when the client has proven who it is."},
    {"per",                 &sp_type_per,   AT(sp_config_caller_limits, per),                   0,   0,        "identity",
     .doc = "What is counted together. `identity`: the same subject and names, so that a renewed certificate counts on; `caller`: everybody who is this caller; `certificate`; or a name or subject attribute (clients without it count by identity)."},
};
const struct sp_section sp_section_caller_limits = {
    "callers.<name>.limits", "How much a caller may do. At least one limit must be given. Requests count for the caller by which a rule allowed them, connections for every caller that the client is.",
    KEYS(caller_limits_keys), sizeof(struct sp_config_caller_limits), AT(sp_config_caller_limits, at), SP_NOWHERE, sp_check_caller_limits};

static const struct sp_key caller_long_keys[] = {
/*  name       type               field                          min  max  default */
    {"match",   &sp_type_sections, AT(sp_config_caller, entries), 1,   0,   SP_REQUIRED,
     .doc = "Who it is: any of these entries.", .extra = AT(sp_config_caller, entry_count), .section = &sp_section_entry},
    {"require", &sp_type_optional, AT(sp_config_caller, require), 1,   0,   NULL,
     .doc = "What its certificates must be like. A client that is this caller and fails is refused whatever it asks for.", .section = &sp_section_require},
    {"limits",  &sp_type_optional, AT(sp_config_caller, limits),  0,   0,   NULL,
     .doc = "How much it may do.", .section = &sp_section_caller_limits},
};
const struct sp_section sp_section_caller_long = {
    "callers.<name>", "Somebody whom rules can name. Written in short as the list of its entries, or as a mapping of these keys.",
    KEYS(caller_long_keys), sizeof(struct sp_config_caller), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key caller_keys[] = {
    {NULL, &sp_type_short, 0, 0, 0, SP_REQUIRED, .section = &sp_section_caller_long},
};
const struct sp_section sp_section_caller = {
    NULL, NULL,
    KEYS(caller_keys), sizeof(struct sp_config_caller), AT(sp_config_caller, at), AT(sp_config_caller, name), NULL};

/* ---- rules ---- */
static const struct sp_key header_match_keys[] = {
/*  name      type                  field                              min  max  default */
    {"name",   &sp_type_field_name,  AT(sp_config_header_match, name),   0,   0,   SP_REQUIRED,
     .doc = "The field's name, in any case."},
    {"equals", &sp_type_field_value, AT(sp_config_header_match, equals), 0,   0,   NULL,
     .doc = "Its value, exactly. Not given: the field is there."},
};
const struct sp_section sp_section_header_match = {
    "rules[].headers[]", "A header field that the request must have.",
    KEYS(header_match_keys), sizeof(struct sp_config_header_match), AT(sp_config_header_match, at), SP_NOWHERE, NULL};

static const struct sp_key edits_keys[] = {
/*  name      type                  field                              min  max  default */
    {"set",    &sp_type_headers,     AT(sp_config_edits, set),           1,   64,  NULL,
     .doc = "Fields with their text, in place of any that there are.", .extra = AT(sp_config_edits, set_count)},
    {"add",    &sp_type_headers,     AT(sp_config_edits, add),           1,   64,  NULL,
     .doc = "Fields with their text, behind any that there are.", .extra = AT(sp_config_edits, add_count)},
    {"remove", &sp_type_field_names, AT(sp_config_edits, remove),        1,   64,  NULL,
     .doc = "Fields that are taken out."},
};
const struct sp_section sp_section_edits = {
    "rules[].request_headers, rules[].response_headers", "What is changed in the header of a request that the rule allowed, or of its response. Neither a field that frames the message nor one that tells the backend who the client is.",
    KEYS(edits_keys), sizeof(struct sp_config_edits), SP_NOWHERE, SP_NOWHERE, sp_check_edits};

static const struct sp_key rule_keys[] = {
/*  name        type                 field                           min  max   default */
    {"name",     &sp_type_name,       AT(sp_config_rule, name),        0,   0,    SP_REQUIRED,
     .doc = "What the access records call it. No two rules may share one."},
    {"from",     &sp_type_references, AT(sp_config_rule, from),        1,   0,    NULL,
     .doc = "The callers it is for: names of `callers`. Only a rule with `deny` may leave it out: it is then for everybody."},
    {"not_from", &sp_type_references, AT(sp_config_rule, not_from),    1,   0,    NULL,
     .doc = "Callers that it is not for, whoever else they are."},
    {"listener", &sp_type_listeners,  AT(sp_config_rule, listeners),   1,   256,  NULL,
     .doc = "Where the connection arrived: names of `listeners`. Not given: any."},
    {"host",     &sp_type_pattern_at, AT(sp_config_rule, host),        0,   0,    NULL,
     .doc = "The host that is asked for, without a port; `*.example.com` is every host with exactly one more label. Not given: any.",
     .extra = AT(sp_config_rule, host_at)},
    {"path",     &sp_type_pattern_at, AT(sp_config_rule, path),        0,   0,    NULL,
     .doc = "The path that is asked for. `*` stands for anything inside one segment; `**`, only as the last segment, for any rest: `/v1/x/**` is `/v1/x/` and everything below it, not `/v1/x`. A percent-encoded byte that needs no encoding counts as that byte (`%3A` as `:`), `%c3` as `%C3`; `%2A` is the byte `*`. Not given: any.",
     .extra = AT(sp_config_rule, path_at)},
    {"methods",  &sp_type_methods,    AT(sp_config_rule, methods),     1,   64,   NULL,
     .doc = "Methods, in upper case. Not given: any."},
    {"headers",  &sp_type_sections,   AT(sp_config_rule, headers),     1,   32,   NULL,
     .doc = "Header fields that must be there, all of them. A request in which a field that any rule looks at comes twice is refused.",
     .extra = AT(sp_config_rule, header_count), .section = &sp_section_header_match},
    {"source",   &sp_type_blocks,     AT(sp_config_rule, sources),     1,   1024, NULL,
     .doc = "The address that the connection comes from: addresses and blocks such as `10.0.0.0/8`. Not given: any."},
    {"upstream", &sp_type_reference,  AT(sp_config_rule, upstream),    0,   0,    NULL,
     .doc = "Where the request goes: a name of `upstreams`. Either this or `deny`.", .extra = AT(sp_config_rule, upstream_at)},
    {"deny",     &sp_type_count,      AT(sp_config_rule, deny_status), 400, 599,  NULL,
     .doc = "The request is refused with this status."},
    {"upgrade",  &sp_type_protocols,  AT(sp_config_rule, upgrades),    1,   16,   NULL,
     .doc = "Protocols, in any case, that a request which it allows may change its connection to, such as `websocket`. Not given: none."},
    {"request_headers", &sp_type_optional, AT(sp_config_rule, request_headers), 1, 0, NULL,
     .doc = "What is changed in the header of a request that it allows, after the decision.", .section = &sp_section_edits},
    {"response_headers", &sp_type_optional, AT(sp_config_rule, response_headers), 1, 0, NULL,
     .doc = "And in that of the backend's response.", .section = &sp_section_edits},
    {"mode",     &sp_type_choice,     AT(sp_config_rule, mode),        0,   0,    NULL,
     .doc = "`report`: the rule decides nothing; what it would have decided is logged and counted. Not given: `rule_mode`.", .words = sp_words_rule_mode},
};
const struct sp_section sp_section_rule = {
    "rules[]", "Who may do what, and where it goes. The first rule that matches decides; if none does, the request is refused.",
    KEYS(rule_keys), sizeof(struct sp_config_rule), AT(sp_config_rule, at), SP_NOWHERE, sp_check_rule};

/* ---- proxies in front ---- */
static const struct sp_key proxy_keys[] = {
/*  name                type                 field                                        min  max   default */
    {"from",             &sp_type_references, AT(sp_config_trusted_proxy, from),             1,   0,    SP_REQUIRED,
     .doc = "The callers that are such proxies: names of `callers`."},
    {"source",           &sp_type_blocks,     AT(sp_config_trusted_proxy, sources),          1,   1024, NULL,
     .doc = "And the addresses that they come from. Not given: any."},
    {"identity_headers", &sp_type_flags,      AT(sp_config_trusted_proxy, identity_headers), 1,   0,    NULL,
     .doc = "What they say in these goes on as it came, and nothing is added to it.", .words = sp_words_proxy_family},
    {"xfcc",             &sp_type_choice,     AT(sp_config_trusted_proxy, xfcc),             0,   0,    "sanitize_set",
     .doc = "What becomes of their `X-Forwarded-Client-Cert`: replaced by our own (`sanitize_set`), continued by it (`append_forward`), or passed on as it came (`forward_only`).", .words = xfcc_modes},
    {"forwarded",        &sp_type_flag,       AT(sp_config_trusted_proxy, keeps_forwarded),  0,   0,    "append",
     .doc = "What becomes of their `Forwarded` and `X-Forwarded-*`: continued (`append`), or replaced as a client's are (`replace`).", .words = forwarded_modes},
};
const struct sp_section sp_section_proxy = {
    "trusted_proxies[]", "Proxies in front of us that may speak for their own clients. The first one that fits counts.",
    KEYS(proxy_keys), sizeof(struct sp_config_trusted_proxy), AT(sp_config_trusted_proxy, at), SP_NOWHERE, sp_check_proxy};
