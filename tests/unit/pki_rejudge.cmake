sp_unit(pki_rejudge pki config obs base)
target_sources(unit_pki_rejudge PRIVATE unit/pki_fixture.c)
