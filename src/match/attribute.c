/* The attribute types that have a name worth writing: X.520 and RFC 4519, those of PKCS #9 that stand in names, and those of
 * extended validation. There is no other table of them. */
#include "sallyport/match/attribute.h"

#include "sallyport/match/match.h"

static const struct {
    const char *name, *oid;
    struct sp_slice
        der; /* the OID's content, for those that identities call by their name: they come first */
} types[] = {
    {"CN", "2.5.4.3", {"\x55\x04\x03", 3}},
    {"serialNumber", "2.5.4.5", {"\x55\x04\x05", 3}},
    {"C", "2.5.4.6", {"\x55\x04\x06", 3}},
    {"L", "2.5.4.7", {"\x55\x04\x07", 3}},
    {"ST", "2.5.4.8", {"\x55\x04\x08", 3}},
    {"O", "2.5.4.10", {"\x55\x04\x0a", 3}},
    {"OU", "2.5.4.11", {"\x55\x04\x0b", 3}},
    {"UID", "0.9.2342.19200300.100.1.1", {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", 10}},
    {"DC", "0.9.2342.19200300.100.1.25", {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", 10}},
    {"emailAddress", "1.2.840.113549.1.9.1", {"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", 9}},
    {"organizationIdentifier", "2.5.4.97", {"\x55\x04\x61", 3}},
    {"SN", "2.5.4.4", {NULL, 0}},
    {"surname", "2.5.4.4", {NULL, 0}},
    {"street", "2.5.4.9", {NULL, 0}},
    {"streetAddress", "2.5.4.9", {NULL, 0}},
    {"title", "2.5.4.12", {NULL, 0}},
    {"description", "2.5.4.13", {NULL, 0}},
    {"businessCategory", "2.5.4.15", {NULL, 0}},
    {"postalCode", "2.5.4.17", {NULL, 0}},
    {"telephoneNumber", "2.5.4.20", {NULL, 0}},
    {"name", "2.5.4.41", {NULL, 0}},
    {"GN", "2.5.4.42", {NULL, 0}},
    {"givenName", "2.5.4.42", {NULL, 0}},
    {"initials", "2.5.4.43", {NULL, 0}},
    {"generationQualifier", "2.5.4.44", {NULL, 0}},
    {"dnQualifier", "2.5.4.46", {NULL, 0}},
    {"pseudonym", "2.5.4.65", {NULL, 0}},
    {"unstructuredName", "1.2.840.113549.1.9.2", {NULL, 0}},
    {"jurisdictionL", "1.3.6.1.4.1.311.60.2.1.1", {NULL, 0}},
    {"jurisdictionST", "1.3.6.1.4.1.311.60.2.1.2", {NULL, 0}},
    {"jurisdictionC", "1.3.6.1.4.1.311.60.2.1.3", {NULL, 0}},
};

/* The row that `written` names, or the table's end. */
static size_t row_of(struct sp_slice written)
{
    size_t i = 0;
    while (i < SP_COUNTOF(types) && !sp_slice_equal_nocase(written, sp_slice_of(types[i].name)) &&
           !sp_slice_equal(written, sp_slice_of(types[i].oid)))
        i++;
    return i;
}

struct sp_slice sp_attribute_type(struct sp_slice written)
{
    size_t i = row_of(written);
    if (i < SP_COUNTOF(types))
        return sp_slice_of(types[i].der.ptr != NULL ? types[i].name : types[i].oid);
    return sp_oid_is_valid(written) ? written : (struct sp_slice){NULL, 0};
}

struct sp_slice sp_attribute_oid(struct sp_slice written)
{
    size_t i = row_of(written);
    if (i < SP_COUNTOF(types))
        return sp_slice_of(types[i].oid);
    return sp_oid_is_valid(written) ? written : (struct sp_slice){NULL, 0};
}

struct sp_slice sp_attribute_name_of(struct sp_slice der)
{
    for (size_t i = 0; i < SP_COUNTOF(types) && types[i].der.ptr != NULL; i++) {
        if (sp_slice_equal(types[i].der, der))
            return sp_slice_of(types[i].name);
    }
    return (struct sp_slice){NULL, 0};
}

const char *sp_attribute_name(size_t i)
{
    return i < SP_COUNTOF(types) ? types[i].name : NULL;
}
