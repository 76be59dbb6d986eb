/* What the types of a distinguished name's attributes are called. An identity has the names of the common ones and the dotted
 * OID of any other (sallyport/pki/identity.h); an operator may write either. Pure. */
#ifndef SP_MATCH_ATTRIBUTE_H
#define SP_MATCH_ATTRIBUTE_H

#include "sallyport/base/base.h"

/* The spelling that identities have of a type that is written as a name ("cn", "surname", in any case) or as an OID. Absent:
 * it is neither. Lives for ever, or as long as `written`. */
struct sp_slice sp_attribute_type(struct sp_slice written);
/* Its dotted OID, whatever identities call it. Likewise. */
struct sp_slice sp_attribute_oid(struct sp_slice written);
/* What identities call the type whose OID has this content in DER (without tag and length). Absent: by its dotted OID. */
struct sp_slice sp_attribute_name_of(struct sp_slice der);
/* The names that may be written, from 0; NULL behind the last. */
const char *sp_attribute_name(size_t i);
/* What to say where neither a name nor an OID was written. */
#define SP_ATTRIBUTE_EXPECTED                                                                                \
    "expected an attribute such as CN, O, OU, C, L, ST, DC, UID, serialNumber, emailAddress, "               \
    "organizationIdentifier, or a dotted OID"

#endif
