/* The options of a subcommand, read alike in all of them. Not a door. */
#ifndef SP_CLI_OPTIONS_H
#define SP_CLI_OPTIONS_H

#include <getopt.h>

#include "sallyport/base/err.h"

#define SP_GO_ON (-1) /* no exit code: there is something to do */

struct sp_options {
    const char *command; /* its name */
    const char *usage;   /* ends in a line end */
    /* The long ones, each with a number below ' ', then SP_OPTIONS_END. NULL: none. */
    const struct option *longs;
    /* Is given each of them. SP_FAIL: `err` says what is wrong with the value. */
    enum sp_rc (*take)(void *arg, int option, const char *value, struct sp_err *err);
};

/* clang-format off */
#define SP_OPTIONS_END {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}
/* clang-format on */

/* `file` is what -c gives, which must be given; NULL: there is no -c. What is no option stands from argv[optind] on.
 * SP_GO_ON, or the exit code to end with: -h and --help have printed the usage, or what is wrong has been told. */
SP_MUST_USE int sp_options_read(
    int argc, char **argv, const struct sp_options *o, const char **file, void *arg);
/* The same, where nothing may stand behind the options. */
SP_MUST_USE int sp_options_read_all(
    int argc, char **argv, const struct sp_options *o, const char **file, void *arg);
/* Tells what is missing, or too much, and the usage. Returns the exit code. */
SP_MUST_USE int sp_options_wrong(const struct sp_options *o, const char *fmt, ...) SP_PRINTF(2, 3);

#endif
