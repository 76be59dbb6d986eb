sp_unit(pki_identity pki config obs base)
target_sources(unit_pki_identity PRIVATE unit/pki_fixture.c)
