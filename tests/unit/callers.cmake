sp_unit(callers policy)
