sp_unit(daemon_priority daemon base)
