sp_unit(roster_lineup upstream)
