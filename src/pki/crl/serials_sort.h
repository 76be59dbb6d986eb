/* Sorting of records of one length by their bytes. Private to `pki`. */
#ifndef SP_SRC_PKI_SERIALS_SORT_H
#define SP_SRC_PKI_SERIALS_SORT_H

#include <stddef.h>
#include <stdint.h>

/* `n` records of `stride` bytes, n below 2^32. Works in place, and faster with half a megabyte beside it. */
void sp_records_sort(uint8_t *records, size_t n, size_t stride);

#endif
