sp_unit(pki_identity_fields pki config obs base)
target_sources(unit_pki_identity_fields PRIVATE unit/pki_fixture.c)
