sp_unit(proxy_protected proxy)
