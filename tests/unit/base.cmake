sp_unit(base base)
