sp_unit(proxy_costs proxy)
target_sources(unit_proxy_costs PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/counted_calls.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/tls_fixture.c ${CMAKE_CURRENT_SOURCE_DIR}/unit/pki_fixture.c)
