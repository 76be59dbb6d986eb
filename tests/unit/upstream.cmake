sp_unit(upstream upstream)
