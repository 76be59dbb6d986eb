sp_unit(config config)
target_compile_definitions(unit_config PRIVATE SP_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
