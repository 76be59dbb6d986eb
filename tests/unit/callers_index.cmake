sp_unit(callers_index policy)
