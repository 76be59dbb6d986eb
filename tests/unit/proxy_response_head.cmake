sp_unit(proxy_response_head proxy)
