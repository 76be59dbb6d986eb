sp_unit(upstream_queue upstream)
