/* Object identifiers as text: only whether it is one. What an OID means is pki's. */
#include "sallyport/match/match.h"

bool sp_oid_is_valid(struct sp_slice s)
{
    size_t numbers = 0, digits = 0;

    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && sp_is_digit(s.ptr[i])) {
            digits++;
            continue;
        }
        bool has_leading_zero = digits > 1 && s.ptr[i - digits] == '0';
        if (digits == 0 || has_leading_zero || (i < s.len && s.ptr[i] != '.'))
            return false;
        /* X.660 §7.6: the first number is 0, 1 or 2 */
        if (numbers == 0 && (digits > 1 || s.ptr[0] > '2'))
            return false;
        numbers++;
        digits = 0;
    }
    return numbers >= 2;
}
