sp_unit(h1_codec http)
