sp_unit(limits policy base)
