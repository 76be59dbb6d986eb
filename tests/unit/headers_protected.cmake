sp_unit(headers_protected headers)
