sp_fuzz(list policy)
