sp_unit(fetch fetch io base)
target_sources(unit_fetch PRIVATE unit/fetch_fixture.c unit/fetch_server.c)
