sp_unit(pki_bundle pki config obs base)
target_sources(unit_pki_bundle PRIVATE unit/pki_fixture.c)
