/* What the families are written with. Private to the room. */
#ifndef SP_HEADERS_FAMILIES_H
#define SP_HEADERS_FAMILIES_H

#include "sallyport/headers/headers.h"

/* Appends to a run of lines with room for all of them. */
struct sp_headers_writer {
    struct sp_arena *arena;
    struct sp_line *lines;
    size_t count;
    bool failed; /* no memory */
};

/* An empty value has no line. Borrows both. */
void sp_headers_put(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice value);
/* Copies `text`. */
void sp_headers_put_text(struct sp_headers_writer *w, struct sp_slice name, const char *text);
/* A line for each. */
void sp_headers_put_each(struct sp_headers_writer *w, struct sp_slice name, const struct sp_slices *values);

/* `id` NULL: anonymous. */
void sp_headers_put_plain(struct sp_headers_writer *w, const struct sp_identity *id);
void sp_headers_put_rfc9440(struct sp_headers_writer *w, const struct sp_identity *id);

#endif
