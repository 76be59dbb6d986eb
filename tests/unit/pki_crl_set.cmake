sp_unit(pki_crl_set pki config obs base)
target_sources(unit_pki_crl_set PRIVATE unit/pki_fixture.c)
