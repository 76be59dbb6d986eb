/* sallyport: finds the subcommand and passes on. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "sallyport/base/base.h"
#include "sallyport/base/version.h"

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("sallyport " SP_VERSION);
    return SP_EXIT_OK;
}

static int help(int argc, char **argv);

static const struct {
    const char *name, *arguments, *meaning;
    int (*main)(int argc, char **argv);
} COMMANDS[] = {
    {"run", "-c FILE", "serve; HUP reloads, TERM and INT drain, USR1 reopens log files", sp_cli_run},
    {"check", "-c FILE", "read FILE and everything it names, say what is wrong; also: sallyport -t -c FILE",
        sp_cli_check},
    {"verify", "--ca FILE [OPTIONS] FILE",
        "judge a certificate as a listener would, and say why; options: sallyport verify --help",
        sp_cli_verify},
    {"explain", "-c FILE --cert FILE [OPTIONS]",
        "what becomes of a client's request, or of a line of the log, and why; options: sallyport explain --help",
        sp_cli_explain},
    {"test", "-c FILE CASES...", "try a policy's cases, say which come out otherwise than expected",
        sp_cli_test},
    {"demo", "[--run-once]", "a throwaway PKI, an echo backend and the proxy in front, to try with curl",
        sp_cli_demo},
    {"reference", "config|refusals|metrics", "print a reference page (Markdown)", sp_cli_reference},
    {"version", "", "print the version", version},
    {"help", "", "print this", help},
};

static int help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("sallyport " SP_VERSION ": a reverse proxy that terminates mutual TLS\n");
    for (size_t i = 0; i < SP_COUNTOF(COMMANDS); i++)
        printf("  sallyport %-9s %-29s %s\n", COMMANDS[i].name, COMMANDS[i].arguments, COMMANDS[i].meaning);
    puts(
        "\nsallyport COMMAND --help tells more of a command\n"
        "exit codes: 0 fine, 1 failed while running, 2 bad usage or configuration, 3 refused (verify, explain)");
    return SP_EXIT_OK;
}

/* The word that so many daemons know: -t checks. */
static const char *command_of(const char *word)
{
    static const struct {
        const char *word, *command;
    } ALIASES[] = {
        {"-t", "check"}, {"-h", "help"}, {"--help", "help"}, {"-V", "version"}, {"--version", "version"}};

    for (size_t i = 0; i < SP_COUNTOF(ALIASES); i++) {
        if (strcmp(word, ALIASES[i].word) == 0)
            return ALIASES[i].command;
    }
    return word;
}

/* A standard descriptor that is closed would be the next one that is opened, and what is meant for the terminal
 * would go there. */
static void hold_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_standard_descriptors();
    const char *word = argc > 1 ? command_of(argv[1]) : "";

    for (size_t i = 0; i < SP_COUNTOF(COMMANDS); i++) {
        if (strcmp(word, COMMANDS[i].name) == 0) {
            argv[1] = (char *)COMMANDS[i].name;
            return COMMANDS[i].main(argc - 1, argv + 1);
        }
    }
    if (argc > 1)
        fprintf(stderr, "sallyport: unknown command: %s; see sallyport help\n", argv[1]);
    else
        fprintf(stderr, "usage: sallyport COMMAND ...; see sallyport help\n");
    return SP_EXIT_USAGE;
}
