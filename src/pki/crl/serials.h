/* A sorted set of revoked serial numbers in as little memory as they take: a record is the bytes of the serial and five
 * more for its date and reason. Serials of one length and sign stand together, so that a record has no length.
 * Filled by one thread, immutable after sp_serials_seal. Private to `pki`. */
#ifndef SP_SRC_PKI_SERIALS_H
#define SP_SRC_PKI_SERIALS_H

#include "sallyport/base/base.h"

/* RFC 5280 allows 20 octets; issuers have gone beyond it. What is longer than this is not a serial number. */
#define SP_SERIAL_MAX_BYTES 255
/* A serial as a key: a byte that is 1 for a negative one, then the magnitude without leading zeros. */
#define SP_SERIAL_MAX_KEY (1 + SP_SERIAL_MAX_BYTES)

struct sp_revoked {
    int64_t date;  /* seconds since 1970; 1950 at least and the year 4127 at most, beyond that the nearest */
    int8_t reason; /* CRLReason, or -1 when none is given */
};

struct sp_serial_class {
    uint8_t negative, len; /* of the magnitude */
    bool sorted;           /* so far */
    uint32_t count, room;
    uint8_t *records; /* count times `len` bytes of magnitude and five of date and reason; owned */
};

struct sp_serials {
    struct sp_serial_class *classes; /* ordered by sign and length; owned */
    size_t class_count, last;
    size_t count;    /* of entries */
    size_t expected; /* how many may come, as far as that is known when the first does; 0: it is not */
};

/* `magnitude` without leading zeros. SP_FAIL: no memory, or more than 2^32 - 1 of a kind. */
SP_MUST_USE enum sp_rc sp_serials_add(
    struct sp_serials *s, bool negative, const uint8_t *magnitude, size_t len, int64_t date, int8_t reason);
/* Sorts, and gives back what was allocated ahead. Of two entries of one serial the one of the later date is found. */
void sp_serials_seal(struct sp_serials *s);
/* Whether the serial of `key` is in the sealed set. Any thread; no allocation. */
SP_MUST_USE bool sp_serials_find(
    const struct sp_serials *s, const uint8_t *key, size_t key_len, struct sp_revoked *out);
void sp_serials_free(struct sp_serials *s);

#endif
