/* The attribute types that have a name worth writing: X.520 and RFC 4519, those of PKCS #9 that stand in names, and those of
 * extended validation. */
#include "sallyport/match/attribute.h"

#include "sallyport/match/match.h"

static const struct {
    const char *name, *oid;
    bool by_name; /* identities call it by its name */
} types[] = {
    {"CN", "2.5.4.3", true},
    {"serialNumber", "2.5.4.5", true},
    {"C", "2.5.4.6", true},
    {"L", "2.5.4.7", true},
    {"ST", "2.5.4.8", true},
    {"O", "2.5.4.10", true},
    {"OU", "2.5.4.11", true},
    {"UID", "0.9.2342.19200300.100.1.1", true},
    {"DC", "0.9.2342.19200300.100.1.25", true},
    {"emailAddress", "1.2.840.113549.1.9.1", true},
    {"organizationIdentifier", "2.5.4.97", true},
    {"SN", "2.5.4.4", false},
    {"surname", "2.5.4.4", false},
    {"street", "2.5.4.9", false},
    {"streetAddress", "2.5.4.9", false},
    {"title", "2.5.4.12", false},
    {"description", "2.5.4.13", false},
    {"businessCategory", "2.5.4.15", false},
    {"postalCode", "2.5.4.17", false},
    {"telephoneNumber", "2.5.4.20", false},
    {"name", "2.5.4.41", false},
    {"GN", "2.5.4.42", false},
    {"givenName", "2.5.4.42", false},
    {"initials", "2.5.4.43", false},
    {"generationQualifier", "2.5.4.44", false},
    {"dnQualifier", "2.5.4.46", false},
    {"pseudonym", "2.5.4.65", false},
    {"unstructuredName", "1.2.840.113549.1.9.2", false},
    {"jurisdictionL", "1.3.6.1.4.1.311.60.2.1.1", false},
    {"jurisdictionST", "1.3.6.1.4.1.311.60.2.1.2", false},
    {"jurisdictionC", "1.3.6.1.4.1.311.60.2.1.3", false},
};

struct sp_slice sp_attribute_type(struct sp_slice written)
{
    for (size_t i = 0; i < SP_COUNTOF(types); i++) {
        struct sp_slice name = sp_slice_of(types[i].name), oid = sp_slice_of(types[i].oid);
        if (sp_slice_equal_nocase(written, name) || sp_slice_equal(written, oid))
            return types[i].by_name ? name : oid;
    }
    return sp_oid_is_valid(written) ? written : (struct sp_slice){NULL, 0};
}
