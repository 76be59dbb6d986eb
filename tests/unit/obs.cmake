sp_unit(obs obs)
