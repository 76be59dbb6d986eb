sp_unit(policy_shared policy)
# libc's own for everybody but libraries: the test says when there is no more memory
target_link_options(unit_policy_shared PRIVATE -Wl,--wrap=calloc,--wrap=malloc,--wrap=realloc)
