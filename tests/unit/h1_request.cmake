sp_unit(h1_request http)
