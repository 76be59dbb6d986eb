/* What the families and the operator's own headers are written with. Private to the room.
 *
 *   writer.c     lines, and the spellings that several families share
 *   families.c   plain, rfc9440, nginx, alb
 *   xfcc.c, traefik.c
 *   templates.c, variables.c  the operator's own
 *   protected.c  whose word a name is
 *
 * Whatever goes wrong is kept in the writer, so that a run of lines is written first and checked once. */
#ifndef SP_HEADERS_FAMILIES_H
#define SP_HEADERS_FAMILIES_H

#include "sallyport/headers/headers.h"

/* ---- writer.c ---- */
/* Appends to a run of lines with room for all of them. */
struct sp_headers_writer {
    struct sp_arena *arena;
    struct sp_line *lines;
    size_t count;
    size_t bytes; /* of the lines, as a head has them */
    bool failed;  /* `err` says why; nothing is appended any more */
    struct sp_err *err;
};

/* An empty value has no line. Borrows both. A byte outside 0x20-0x7E fails, and a blank at
 * an end, which would not arrive. */
void sp_headers_put(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice value);
/* Copies what is in `text` and frees it. */
void sp_headers_put_buf(struct sp_headers_writer *w, struct sp_slice name, struct sp_buf *text);
/* A line for each. */
void sp_headers_put_each(struct sp_headers_writer *w, struct sp_slice name, const struct sp_slices *values);
/* The value cannot be said; `what` is a sentence. */
void sp_headers_refuse(struct sp_headers_writer *w, struct sp_slice name, const char *what);
/* What is in `text` lives in the arena from now on, judged as sp_headers_put does; absent when that failed. Frees it. */
struct sp_slice sp_headers_keep(struct sp_headers_writer *w, struct sp_slice name, struct sp_buf *text);

/* PEM of what stands in base64, percent-encoded: every byte but the unreserved ones of RFC 3986, or also without "+=/". */
enum sp_pem_safe { SP_PEM_UNRESERVED, SP_PEM_KEEPS_BASE64 };
void sp_headers_add_pem(struct sp_buf *out, struct sp_slice base64, enum sp_pem_safe safe);
/* Cuts the next base64 off a list of structured-field byte sequences (":…:, :…:"). False: there are no more. */
bool sp_headers_next_base64(struct sp_slice *list, struct sp_slice *base64);
/* A blank at the end of a name is escaped as "\ ", and every reader of a field drops blanks at its ends: it becomes "\20",
 * which is the same name. */
void sp_headers_add_dn(struct sp_buf *out, struct sp_slice dn);
void sp_headers_put_dn(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice dn);
void sp_headers_add_upper(struct sp_buf *out, struct sp_slice hex);
void sp_headers_add_time(struct sp_buf *out, int64_t unix_s);

/* One that was only written down (sp_identity_from_fields) has none; one that was accepted did not end in 1970. */
static inline bool sp_headers_has_validity(const struct sp_identity *id)
{
    return id->not_after != 0;
}

static inline bool sp_headers_is_printable(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e)
            return false;
    }
    return true;
}

/* ---- the families; `id` NULL: anonymous ---- */
void sp_headers_put_plain(struct sp_headers_writer *w, const struct sp_identity *id);
void sp_headers_put_rfc9440(struct sp_headers_writer *w, const struct sp_identity *id);
void sp_headers_put_nginx(struct sp_headers_writer *w, const struct sp_identity *id);
void sp_headers_put_alb(struct sp_headers_writer *w, const struct sp_identity *id);
void sp_headers_put_traefik(struct sp_headers_writer *w, const struct sp_identity *id);
#define SP_XFCC_NAME SP_SLICE("X-Forwarded-Client-Cert")
/* `details`: bits of sp_xfcc_detail. Absent for the anonymous, and when it failed. */
struct sp_slice sp_headers_xfcc_element(
    struct sp_headers_writer *w, const struct sp_headers_about *about, unsigned details);

/* ---- templates.c ---- */
struct sp_template_part;
enum sp_template_time { SP_TEMPLATE_CONNECTION, SP_TEMPLATE_RULE, SP_TEMPLATE_CALLER };
struct sp_template {
    struct sp_slice name;
    enum sp_template_time time; /* RULE, CALLER: the whole value is that */
    const struct sp_template_part *parts;
    size_t count;
};
/* NULL: hands over *out, which lives in `arena` and borrows `text`. Else what is wrong, in `arena`; "" without memory. */
SP_MUST_USE const char *sp_template_compile(
    struct sp_arena *arena, const char *name, const char *text, struct sp_template *out);
/* No line when a variable of it is absent. */
void sp_template_put(
    struct sp_headers_writer *w, const struct sp_template *t, const struct sp_headers_about *about);

/* ---- protected.c ---- */
/* How CGI-like backends read a byte of a name: lower case, and '-' for all that is neither letter nor digit. */
char sp_header_fold(char c);
/* Copies `name`, folded. ptr NULL without memory. */
struct sp_slice sp_header_fold_copy(struct sp_arena *arena, struct sp_slice name);
/* Does the folded `key` sort before (negative) or behind (positive) `name`, whatever its spelling? */
int sp_header_fold_compare(struct sp_slice key, struct sp_slice name);
/* In no spelling for the operator to set: a family has it, or it says where a request came from or goes. */
bool sp_header_is_reserved(struct sp_slice name);
/* The family (a bit) that says exactly this name; 0: none. `*single`: it may be there once only. */
unsigned sp_header_family_of(struct sp_slice name, bool *single);

#endif
