sp_unit(obs_audit obs)
