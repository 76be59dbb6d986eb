sp_unit(limits_keys policy base)
