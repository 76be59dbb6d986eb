sp_unit(config_errors config)
