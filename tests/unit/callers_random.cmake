sp_unit(callers_random policy)
