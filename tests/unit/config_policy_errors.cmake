sp_unit(config_policy_errors config)
