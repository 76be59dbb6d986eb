sp_unit(io_resolver io)
target_sources(unit_io_resolver PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/io_dns_server.c)
