sp_unit(upstream_change upstream)
