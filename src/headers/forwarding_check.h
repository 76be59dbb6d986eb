/* Whether what a trusted proxy says of where a request came from is well-formed: only then it is continued. Pure. Private
 * to the room. */
#ifndef SP_HEADERS_FORWARDING_CHECK_H
#define SP_HEADERS_FORWARDING_CHECK_H

#include "sallyport/base/base.h"

/* One line of a list: addresses with or without a port, "unknown", or obfuscated ones ("_x", RFC 7239 §6.3). */
bool sp_forwarded_for_is_good(struct sp_slice value);
bool sp_forwarded_proto_is_good(struct sp_slice value); /* http, https, ws or wss, in any case */
bool sp_forwarded_host_is_good(struct sp_slice value);
bool sp_forwarded_port_is_good(struct sp_slice value);
bool sp_forwarded_prefix_is_good(struct sp_slice value); /* a path with one reading */
/* One line of a list of elements (RFC 7239 §4), each parameter once in an element. */
bool sp_forwarded_is_good(struct sp_slice value);

#endif
