sp_unit(pki_crl_check pki config obs base)
target_sources(unit_pki_crl_check PRIVATE unit/pki_fixture.c)
