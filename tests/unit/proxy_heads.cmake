sp_unit(proxy_heads proxy)
