sp_unit(obs_rule_meter obs)
