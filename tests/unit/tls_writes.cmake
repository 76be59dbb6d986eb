sp_unit(tls_writes tls pki io base)
target_sources(unit_tls_writes PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/tls_fixture.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
target_link_options(unit_tls_writes PRIVATE -Wl,--wrap=send,--wrap=setsockopt)
