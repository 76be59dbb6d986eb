/* sallyport demo: the whole walk on one machine, without a file, a network or a privilege. A throwaway PKI in a
 * temporary folder, two backends that echo what they receive, the proxy in front of it as a child process, and
 * requests to try. */
#ifndef SP_DEMO_DEMO_H
#define SP_DEMO_DEMO_H

#include "sallyport/base/base.h"

/* `self` is the program to run as the proxy: this one. With `run_once` it tries everything itself and returns 0
 * only if each came out as it should; else it prints what to try and shows the proxy's log until INT, TERM or
 * HUP (0), or until the proxy ends (1). Output goes to stdout, failures to stderr. Nothing is left behind on
 * any path: no process, no file. Main thread only; takes over the signals for its stay. */
int sp_demo_run(const char *self, bool run_once);

#endif
