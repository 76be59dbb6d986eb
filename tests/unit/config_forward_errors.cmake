sp_unit(config_forward_errors config)
