sp_unit(callers_trie policy)
