sp_unit(tls_client_sessions tls pki io base)
target_sources(unit_tls_client_sessions PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
