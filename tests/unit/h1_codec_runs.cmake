sp_unit(h1_codec_runs http)
