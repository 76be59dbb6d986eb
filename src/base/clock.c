/* Clocks, and the two ways in which a time is written. */
#include "sallyport/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec ts = {0};
    SP_ASSERT(clock_gettime(clock, &ts) == 0); /* fails for an unknown clock only */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t sp_mono_us(void)
{
    return (uint64_t)read_us(CLOCK_MONOTONIC);
}

uint64_t sp_mono_ms(void)
{
    return sp_mono_us() / 1000;
}

int64_t sp_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t sp_wall_s(void)
{
    return sp_wall_us() / 1000000;
}

/* Out of the calendar's range leaves "-": no certificate and no clock gets there. */
static size_t put_utc(int64_t unix_s, const char *format, char *out, size_t room)
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;
    size_t len = gmtime_r(&seconds, &tm) != NULL ? strftime(out, room, format, &tm) : 0;

    if (len == 0)
        len = (size_t)snprintf(out, room, "-");
    return len;
}

char *sp_time_rfc3339(int64_t unix_us, bool with_ms, char out[SP_RFC3339_MAX])
{
    int64_t seconds = unix_us / 1000000, us = unix_us % 1000000;

    if (us < 0) {
        us += 1000000;
        seconds--;
    }
    size_t len = put_utc(seconds, "%04Y-%m-%dT%H:%M:%S", out, SP_RFC3339_MAX - 8);
    snprintf(out + len, SP_RFC3339_MAX - len, with_ms ? ".%03uZ" : "Z", (unsigned)(us / 1000) % 1000);
    return out;
}

/* The names of days and months are English as long as nobody calls setlocale, and nobody does. */
char *sp_time_http(int64_t unix_s, char out[SP_HTTP_DATE_MAX])
{
    put_utc(unix_s, "%a, %d %b %Y %H:%M:%S GMT", out, SP_HTTP_DATE_MAX);
    return out;
}
