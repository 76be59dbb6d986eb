/* What access and audit records are made of. Not a door. */
#ifndef SP_PROXY_RECORD_H
#define SP_PROXY_RECORD_H

#include "proxy/proxy_impl.h"

#define SP_RECORD_FIELDS_MAX 40
#define SP_REPORT_TEXT_MAX   80 /* a rule's name (64), and what it would have done */
#define SP_REPORTS_ROOM      (SP_REPORTS_MAX * SP_REPORT_TEXT_MAX)

/* A line that is being gathered; its fields borrow the texts beside them, and the exchange's. */
struct sp_record {
    struct sp_log_field fields[SP_RECORD_FIELDS_MAX];
    size_t n;
    char reports[SP_REPORTS_ROOM];
    struct sp_cert_facts facts;
};

/* "name:deny,other:allow": the rules in report mode that matched; "" if none did. */
void sp_record_reports(const struct sp_exchange *x, char out[SP_REPORTS_ROOM]);
/* The same as a field; none if none did. */
void sp_record_add_reports(struct sp_record *r, const struct sp_exchange *x);
/* Names, issuer, serial and digest: all but the subject. NULL: nothing. */
void sp_record_add_certificate(struct sp_record *r, const struct sp_identity *id);
/* Method, host and path (as it was judged, and before a rewrite), as far as they are known. */
void sp_record_add_request(struct sp_record *r, const struct sp_exchange *x);

#endif
