sp_fuzz(crl pki config obs base)
