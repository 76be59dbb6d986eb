sp_unit(base_pace base)
