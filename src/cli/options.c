/* Options by getopt_long. Help that is asked for is an answer and goes to standard output; help that is not goes to standard
 * error, behind what is wrong, and the exit code says so. */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>

#include "cli.h"

int sp_options_wrong(const struct sp_options *o, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fprintf(stderr, "sallyport %s: ", o->command);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n%s", o->usage);
    va_end(args);
    return SP_EXIT_USAGE;
}

/* getopt_long names a letter in optopt; of a long option the word itself stands before optind. */
static int not_taken(const struct sp_options *o, const char *word, int option)
{
    const char letter[] = {'-', (char)optopt, '\0'};

    return sp_options_wrong(
        o, "%s: %s", optopt > ' ' ? letter : word, option == ':' ? "its value is missing" : "unknown option");
}

static int take(const struct sp_options *o, const struct option *option, void *arg)
{
    struct sp_err err = {0};

    if (o->take(arg, option->val, optarg, &err) == SP_OK)
        return SP_GO_ON;
    return sp_options_wrong(o, "--%s: %s: %s", option->name, optarg, err.text);
}

int sp_options_read(int argc, char **argv, const struct sp_options *o, const char **file, void *arg)
{
    static const struct option NONE[] = {SP_OPTIONS_END};
    const struct option *longs = o->longs != NULL ? o->longs : NONE;
    int option, index = 0, code = SP_GO_ON;

    opterr = 0;
    while (code == SP_GO_ON &&
           (option = getopt_long(argc, argv, file != NULL ? ":hc:" : ":h", longs, &index)) != -1) {
        if (option == 'h') {
            fputs(o->usage, stdout);
            return SP_EXIT_OK;
        }
        if (option == 'c')
            *file = optarg;
        else
            code = option == '?' || option == ':' ? not_taken(o, argv[optind - 1], option)
                                                  : take(o, &longs[index], arg);
    }
    if (code == SP_GO_ON && file != NULL && *file == NULL)
        code = sp_options_wrong(o, "-c is missing: the configuration");
    return code;
}

int sp_options_read_all(int argc, char **argv, const struct sp_options *o, const char **file, void *arg)
{
    int code = sp_options_read(argc, argv, o, file, arg);

    return code == SP_GO_ON && optind != argc ? sp_options_wrong(o, "every argument has an option before it")
                                              : code;
}
