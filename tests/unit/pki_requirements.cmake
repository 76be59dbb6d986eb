sp_unit(pki_requirements pki config obs base)
target_sources(unit_pki_requirements PRIVATE unit/pki_fixture.c)
