sp_unit(pki_paths pki config obs base)
target_sources(unit_pki_paths PRIVATE unit/pki_fixture.c)
