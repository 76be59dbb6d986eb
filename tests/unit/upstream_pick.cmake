sp_unit(upstream_pick upstream)
