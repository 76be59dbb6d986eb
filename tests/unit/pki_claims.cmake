sp_unit(pki_claims pki config obs base)
target_sources(unit_pki_claims PRIVATE unit/pki_fixture.c)
