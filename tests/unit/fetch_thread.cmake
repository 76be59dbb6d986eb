sp_unit(fetch_thread fetch io base)
target_sources(unit_fetch_thread PRIVATE unit/fetch_fixture.c unit/fetch_server.c)
