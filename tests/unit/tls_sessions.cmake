sp_unit(tls_sessions tls pki io base)
target_sources(unit_tls_sessions PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/tls_fixture.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
