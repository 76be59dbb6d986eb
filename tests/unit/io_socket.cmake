sp_unit(io_socket io base)
