sp_unit(tls_staple tls pki io base)
target_sources(unit_tls_staple PRIVATE unit/tls_fixture.c unit/pki_fixture.c unit/ocsp_fixture.c)
