sp_unit(obs_gauge obs base)
