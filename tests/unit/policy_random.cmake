sp_unit(policy_random policy)
