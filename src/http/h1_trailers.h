/* The trailer section for the chunk reader (h1_body.c). Private to the room; sp_h1_trailers is its other half. */
#ifndef HTTP_H1_TRAILERS_H
#define HTTP_H1_TRAILERS_H

#include "sallyport/http/h1_parse.h"

/* `section` is what has come of it so far, always from its first byte. SP_AGAIN: offer it again with more. SP_EOF: *used bytes were
 * the section, *fields its lines. SP_FAIL: `fault`. */
enum sp_rc h1_next_trailers(struct sp_h1_body *b, struct sp_slice section, size_t *used,
    struct sp_slice *fields, struct sp_fault *fault);

#endif
