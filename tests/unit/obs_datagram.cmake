sp_unit(obs_datagram obs)
