/* Clocks. Durations and deadlines use the monotonic one; certificates and logs the wall clock. */
#ifndef SP_BASE_CLOCK_H
#define SP_BASE_CLOCK_H

#include "sallyport/base/base.h"

uint64_t sp_mono_us(void); /* microseconds of CLOCK_MONOTONIC */
uint64_t sp_mono_ms(void);
int64_t sp_wall_us(void); /* microseconds since 1970, CLOCK_REALTIME */
int64_t sp_wall_s(void);  /* in whole seconds, which is what certificates and CRLs are judged by */

#define SP_RFC3339_MAX 32
/* "2026-11-22T09:25:00.123Z", with milliseconds if `with_ms`, always UTC. Returns `out`. */
char *sp_time_rfc3339(int64_t unix_us, bool with_ms, char out[SP_RFC3339_MAX]);

#define SP_HTTP_DATE_MAX 32
/* "Sun, 22 Nov 2026 09:25:00 GMT", RFC 9110 §5.6.7. Returns `out`. */
char *sp_time_http(int64_t unix_s, char out[SP_HTTP_DATE_MAX]);

#endif
