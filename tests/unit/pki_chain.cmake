sp_unit(pki_chain pki config obs base)
target_sources(unit_pki_chain PRIVATE unit/pki_fixture.c)
