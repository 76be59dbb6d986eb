sp_unit(forwarding headers)
