/* The subcommands: one file each, one row each in main.c. Exit codes: 0 fine, 1 failed while running, 2 bad
 * usage or configuration, 3 refused (`verify`, `explain`). */
#ifndef SP_CLI_H
#define SP_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sallyport/base/base.h"
#include "sallyport/config/diag.h"

enum { SP_EXIT_OK = 0, SP_EXIT_FAILED = 1, SP_EXIT_USAGE = 2, SP_EXIT_REFUSED = 3 };

/* argv[0] is the subcommand's name. */
int sp_cli_run(int argc, char **argv);
int sp_cli_check(int argc, char **argv);
int sp_cli_reference(int argc, char **argv);
int sp_cli_demo(int argc, char **argv);
int sp_cli_verify(int argc, char **argv);
int sp_cli_explain(int argc, char **argv);
int sp_cli_test(int argc, char **argv);

/* RFC 3339, or "@" and seconds since 1970. False: neither. */
bool sp_cli_parse_time(const char *text, int64_t *out);

/* To a terminal: control characters, and bytes that are no UTF-8, as \xNN; line ends are left. */
void sp_cli_show(FILE *to, struct sp_slice text);

/* The same of what was found wrong or doubtful, on standard error. */
void sp_cli_show_diags(const struct sp_diags *diags);

#endif
