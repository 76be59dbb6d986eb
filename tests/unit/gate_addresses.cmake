sp_unit(gate_addresses gate base)
