/* The daemon: threads, sockets, reload and drain. Runs on the calling thread, which becomes the main thread. */
#ifndef SP_DAEMON_DAEMON_H
#define SP_DAEMON_DAEMON_H

/* Serves `file` until TERM or INT. Returns the exit code: 0 a regular end, 1 failed while running or starting,
 * 2 the configuration is not usable (said on standard error). */
int sp_daemon_run(const char *file);

#endif
