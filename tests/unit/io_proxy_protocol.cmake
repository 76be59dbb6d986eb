sp_unit(io_proxy_protocol io base)
