sp_unit(headers_xfcc headers)
