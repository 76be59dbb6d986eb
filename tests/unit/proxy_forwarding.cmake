sp_unit(proxy_forwarding proxy)
