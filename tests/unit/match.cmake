sp_unit(match match base)
