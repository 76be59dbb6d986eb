sp_unit(h1_body http)
