sp_unit(obs_issuer_counts obs base)
