sp_unit(upstream_change upstream)
target_sources(unit_upstream_change PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/io_dns_server.c)
