sp_fuzz(proxy_protocol io base)
