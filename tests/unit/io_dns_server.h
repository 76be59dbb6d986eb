/* A DNS server on loopback, on a thread of its own, that says what a table says. For tests. */
#ifndef SP_UNIT_IO_DNS_SERVER_H
#define SP_UNIT_IO_DNS_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_SRV = 33 };

enum dns_way {
    DNS_ANSWERS,
    DNS_CUTS,    /* over UDP: cut, so that it is asked for over TCP */
    DNS_SILENT,  /* never says a word */
    DNS_GARBAGE, /* bytes that are no answer */
    DNS_REFUSES,
    DNS_BREAKS /* SERVFAIL */
};

/* "a.test" A 10.0.0.1: one row a record. A name without a row does not exist. */
struct dns_record {
    const char *name;
    enum dns_type type;
    uint32_t ttl;
    const char *value; /* an address, a name, or "priority weight port target" */
    enum dns_way way;
};

struct dns_server {
    const struct dns_record *records;
    size_t count;
    char text[32]; /* "127.0.0.1:port" */
    int udp, tcp, stop[2];
    pthread_t thread;
    _Atomic unsigned asked, asked_over_tcp;
};

void dns_server_start(struct dns_server *s, const struct dns_record *records, size_t count);
void dns_server_stop(struct dns_server *s);

#endif
