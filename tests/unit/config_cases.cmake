sp_unit(config_cases config)
