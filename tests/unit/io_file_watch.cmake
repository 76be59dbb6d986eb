sp_unit(io_file_watch io base)
