sp_unit(obs_sink obs)
