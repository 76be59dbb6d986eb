sp_unit(pki_crl_shelf pki config obs base)
target_sources(unit_pki_crl_shelf PRIVATE unit/pki_fixture.c)
