sp_unit(config_hosts config)
