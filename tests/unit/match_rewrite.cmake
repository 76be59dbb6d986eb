sp_unit(match_rewrite match)
