sp_unit(tls_client tls pki io base)
target_sources(unit_tls_client PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
