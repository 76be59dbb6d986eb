sp_unit(config_forward config)
