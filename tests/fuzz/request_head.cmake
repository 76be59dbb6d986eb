sp_fuzz(request_head http)
