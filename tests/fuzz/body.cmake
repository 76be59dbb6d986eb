sp_fuzz(body http)
