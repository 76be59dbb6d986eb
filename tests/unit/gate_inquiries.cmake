sp_unit(gate_inquiries gate pki config obs base)
