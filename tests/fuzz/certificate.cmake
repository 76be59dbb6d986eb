sp_fuzz(certificate pki config obs base)
