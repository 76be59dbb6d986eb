sp_unit(http_path http)
