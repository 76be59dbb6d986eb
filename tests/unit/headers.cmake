sp_unit(headers headers)
