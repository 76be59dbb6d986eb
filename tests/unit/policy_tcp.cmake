sp_unit(policy_tcp policy)
