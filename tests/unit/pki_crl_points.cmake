sp_unit(pki_crl_points pki config obs base)
target_sources(unit_pki_crl_points PRIVATE unit/pki_fixture.c)
