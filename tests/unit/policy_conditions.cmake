sp_unit(policy_conditions policy)
