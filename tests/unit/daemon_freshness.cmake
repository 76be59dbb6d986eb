sp_unit(daemon_freshness daemon snapshot obs io base)
target_sources(unit_daemon_freshness PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/tls_fixture.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
