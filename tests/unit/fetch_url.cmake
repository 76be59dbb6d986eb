sp_unit(fetch_url fetch)
