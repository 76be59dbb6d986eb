sp_unit(config_policy config)
