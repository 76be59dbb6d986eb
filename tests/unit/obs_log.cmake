sp_unit(obs_log obs)
