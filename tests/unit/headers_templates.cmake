sp_unit(headers_templates headers)
