/* A moment as the command line and files of cases give it. */
#include <time.h>

#include "cli.h"
#include "sallyport/base/text.h"

static bool digits(const char **text, size_t count, int *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++, (*text)++) {
        if (!sp_is_digit(**text))
            return false;
        *out = *out * 10 + (**text - '0');
    }
    return true;
}

static bool literal(const char **text, char c)
{
    return *(*text)++ == c;
}

/* "Z", "+hh:mm" or "-hh:mm", and nothing behind it. */
static bool parse_offset(const char *p, int *minutes)
{
    int hours, rest, sign = *p == '-' ? -1 : 1;
    *minutes = 0;
    if ((p[0] == 'Z' || p[0] == 'z') && p[1] == '\0')
        return true;
    if (*p != '+' && *p != '-')
        return false;
    p++;
    if (!digits(&p, 2, &hours) || !literal(&p, ':') || !digits(&p, 2, &rest) || *p != '\0' || hours > 23 ||
        rest > 59)
        return false;
    *minutes = sign * (hours * 60 + rest);
    return true;
}

/* RFC 3339; a fraction of a second is passed over. */
static bool parse_rfc3339(const char *p, int64_t *out)
{
    struct tm tm = {0}, again;
    int offset = 0;
    if (!digits(&p, 4, &tm.tm_year) || !literal(&p, '-') || !digits(&p, 2, &tm.tm_mon) || !literal(&p, '-') ||
        !digits(&p, 2, &tm.tm_mday) || (*p != 'T' && *p != 't' && *p != ' '))
        return false;
    p++;
    if (!digits(&p, 2, &tm.tm_hour) || !literal(&p, ':') || !digits(&p, 2, &tm.tm_min) || !literal(&p, ':') ||
        !digits(&p, 2, &tm.tm_sec))
        return false;
    if (*p == '.') {
        do
            p++;
        while (sp_is_digit(*p));
    }
    if (!parse_offset(p, &offset))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    again = tm;
    time_t t = timegm(&again); /* brings a 30th of February to March: then it was none */
    if (again.tm_mon != tm.tm_mon || again.tm_mday != tm.tm_mday || again.tm_hour != tm.tm_hour ||
        again.tm_min != tm.tm_min || again.tm_sec != tm.tm_sec)
        return false;
    *out = (int64_t)t - (int64_t)offset * 60;
    return true;
}

bool sp_cli_parse_time(const char *text, int64_t *out)
{
    uint64_t seconds;
    if (text[0] != '@')
        return parse_rfc3339(text, out);
    if (!sp_parse_u64(sp_slice_of(text + 1), &seconds) || seconds > UINT64_C(253402300799)) /* year 9999 */
        return false;
    *out = (int64_t)seconds;
    return true;
}
