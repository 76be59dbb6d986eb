sp_unit(pki_crl_read pki config obs base)
target_sources(unit_pki_crl_read PRIVATE unit/pki_fixture.c)
