sp_fuzz(headers headers)
