sp_unit(tls_library tls pki io base)
target_sources(unit_tls_library PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/tls_fixture.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
