sp_unit(config_record config obs)
