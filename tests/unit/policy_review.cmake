sp_unit(policy_review policy)
