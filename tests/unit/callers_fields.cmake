sp_unit(callers_fields policy)
