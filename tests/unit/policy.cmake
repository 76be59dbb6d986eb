sp_unit(policy policy)
