sp_unit(pki_crl_file pki config obs base)
target_sources(unit_pki_crl_file PRIVATE unit/pki_fixture.c)
