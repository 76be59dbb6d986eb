sp_unit(pki_crl pki config obs base)
target_sources(unit_pki_crl PRIVATE unit/pki_fixture.c)
