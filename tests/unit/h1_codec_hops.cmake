sp_unit(h1_codec_hops http)
