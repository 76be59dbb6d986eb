sp_unit(h1_hop_fields http)
