sp_unit(config_diag config)
