sp_fuzz(record config obs)
