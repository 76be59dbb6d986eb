sp_unit(http_message http)
