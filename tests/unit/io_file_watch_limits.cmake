sp_unit(io_file_watch_limits io base)
