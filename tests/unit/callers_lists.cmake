sp_unit(callers_lists policy)
