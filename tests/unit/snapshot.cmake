sp_unit(snapshot snapshot)
target_sources(unit_snapshot PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/tls_fixture.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
