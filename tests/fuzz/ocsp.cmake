sp_fuzz(ocsp pki config obs base)
