/* Clocks, and the one way in which a time is written. The calendar is computed here because gmtime_r takes a lock and
 * looks at the environment, and the log writer calls this once a line. */
#include "sallyport/base/clock.h"

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

struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* Days since 1970-01-01 to the proleptic Gregorian calendar. Counting in eras of 400 years that begin on the first of
 * March puts the leap day last, which makes months a straight line. */
static struct date date_of(int64_t days)
{
    enum { ERA_DAYS = 146097, DAYS_FROM_MARCH_0000 = 719468 };
    int64_t shifted = days + DAYS_FROM_MARCH_0000;
    int64_t era = (shifted >= 0 ? shifted : shifted - (ERA_DAYS - 1)) / ERA_DAYS;
    unsigned of_era = (unsigned)(shifted - era * ERA_DAYS);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * of_year + 2) / 153;
    struct date d = {
        .year = (int64_t)year_of_era + era * 400,
        .month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9,
        .day = of_year - (153 * month_from_march + 2) / 5 + 1,
    };
    if (d.month <= 2)
        d.year++;
    return d;
}

/* At least `width` digits; returns behind them. */
static char *put_digits(char *p, uint64_t value, unsigned width)
{
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0 || n < width);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

char *sp_time_rfc3339(int64_t unix_us, bool with_ms, char out[SP_RFC3339_MAX])
{
    enum { US_OF_SECOND = 1000000, DAY_SECONDS = 86400 };
    int64_t seconds = unix_us / US_OF_SECOND;
    int64_t us = unix_us % US_OF_SECOND;
    if (us < 0) {
        us += US_OF_SECOND;
        seconds--;
    }
    int64_t days = seconds / DAY_SECONDS;
    int64_t of_day = seconds % DAY_SECONDS;
    if (of_day < 0) {
        of_day += DAY_SECONDS;
        days--;
    }
    struct date d = date_of(days);
    char *p = out;
    if (d.year < 0)
        *p++ = '-';
    p = put_digits(p, (uint64_t)(d.year < 0 ? -d.year : d.year), 4);
    *p++ = '-';
    p = put_digits(p, d.month, 2);
    *p++ = '-';
    p = put_digits(p, d.day, 2);
    *p++ = 'T';
    p = put_digits(p, (uint64_t)of_day / 3600, 2);
    *p++ = ':';
    p = put_digits(p, (uint64_t)of_day / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, (uint64_t)of_day % 60, 2);
    if (with_ms) {
        *p++ = '.';
        p = put_digits(p, (uint64_t)us / 1000, 3);
    }
    *p++ = 'Z';
    *p = '\0';
    return out;
}
