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

static char *put_digits(char *at, unsigned value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

/* By hand: every line of a log has one, and strftime and printf cost more than the rest of the line. False: not in the calendar of
 * four digits. */
static bool put_rfc3339(int64_t unix_s, char **at)
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return false;
    const struct {
        int value;
        char before;
    } parts[] = {
        {tm.tm_mon + 1, '-'}, {tm.tm_mday, '-'}, {tm.tm_hour, 'T'}, {tm.tm_min, ':'}, {tm.tm_sec, ':'}};
    *at = put_digits(*at, (unsigned)(tm.tm_year + 1900), 4);
    for (size_t i = 0; i < SP_COUNTOF(parts); i++) {
        *(*at)++ = parts[i].before;
        *at = put_digits(*at, (unsigned)parts[i].value, 2);
    }
    return true;
}

char *sp_time_rfc3339(int64_t unix_us, bool with_ms, char out[SP_RFC3339_MAX])
{
    int64_t seconds = unix_us / 1000000, us = unix_us % 1000000;

    if (us < 0) {
        us += 1000000;
        seconds--;
    }
    char *at = out;
    if (!put_rfc3339(seconds, &at))
        at += put_utc(seconds, "%04Y-%m-%dT%H:%M:%S", out, SP_RFC3339_MAX - 8);
    if (with_ms) {
        *at++ = '.';
        at = put_digits(at, (unsigned)(us / 1000), 3);
    }
    *at++ = 'Z';
    *at = '\0';
    return out;
}

/* The names of days and months are English as long as nobody calls setlocale, and nobody does. */
char *sp_time_http(int64_t unix_s, char out[SP_HTTP_DATE_MAX])
{
    put_utc(unix_s, "%a, %d %b %Y %H:%M:%S GMT", out, SP_HTTP_DATE_MAX);
    return out;
}
