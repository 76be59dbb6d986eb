sp_unit(proxy_wheel proxy)
