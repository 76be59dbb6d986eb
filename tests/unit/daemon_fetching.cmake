sp_unit(daemon_fetching daemon)
