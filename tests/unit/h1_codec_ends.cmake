sp_unit(h1_codec_ends http)
