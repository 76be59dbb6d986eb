sp_unit(upstream_kept upstream)
