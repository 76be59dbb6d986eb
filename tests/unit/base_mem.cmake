sp_unit(base_mem base)
