sp_fuzz(config config)
