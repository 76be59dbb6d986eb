/* The value of a label on the metrics page. Not a door. */
#ifndef SP_OBS_LABEL_H
#define SP_OBS_LABEL_H

#include "sallyport/base/mem.h"

/* Escaped as the exposition format wants it (gauge.c), without the quotes around it. */
void sp_label_value(struct sp_buf *out, const char *text);

#endif
