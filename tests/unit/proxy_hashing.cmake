sp_unit(proxy_hashing proxy)
