sp_fuzz(response_head http)
