sp_unit(limits_reload policy base)
