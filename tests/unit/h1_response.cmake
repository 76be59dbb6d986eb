sp_unit(h1_response http)
