sp_unit(pki_admit pki config obs base)
target_sources(unit_pki_admit PRIVATE unit/pki_fixture.c)
