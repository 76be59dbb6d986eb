sp_unit(io io base)
