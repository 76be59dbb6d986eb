sp_unit(pki_ocsp pki config obs base)
target_sources(unit_pki_ocsp PRIVATE unit/pki_fixture.c unit/ocsp_fixture.c)
