#include "io_dns_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOM 65535

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* "a.test" as labels; returns the length. */
static size_t put_name(uint8_t *at, const char *name)
{
    size_t n = 0;

    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        if (label == 0)
            break;
        at[n++] = (uint8_t)label;
        memcpy(at + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    at[n++] = 0;
    return n;
}

static size_t get_name(const uint8_t *at, size_t room, char *name, size_t size)
{
    size_t n = 0, out = 0;

    while (n < room && at[n] != 0 && n + at[n] < room && out + at[n] + 2 < size) {
        if (out > 0)
            name[out++] = '.';
        memcpy(name + out, at + n + 1, at[n]);
        out += at[n];
        n += at[n] + 1U;
    }
    name[out] = '\0';
    return n + 1;
}

static size_t put_value(uint8_t *at, const struct dns_record *r)
{
    unsigned priority, weight, port;
    char target[256] = "";

    switch (r->type) {
    case DNS_A:
        assert_int_equal(inet_pton(AF_INET, r->value, at), 1);
        return 4;
    case DNS_AAAA:
        assert_int_equal(inet_pton(AF_INET6, r->value, at), 1);
        return 16;
    case DNS_CNAME:
        return put_name(at, r->value);
    case DNS_SRV:
        assert_int_equal(sscanf(r->value, "%u %u %u %255s", &priority, &weight, &port, target), 4);
        put16(at, priority);
        put16(at + 2, weight);
        put16(at + 4, port);
        return 6 + put_name(at + 6, target);
    }
    return 0;
}

static size_t put_record(uint8_t *at, const struct dns_record *r)
{
    size_t n = put_name(at, r->name);

    put16(at + n, r->type);
    put16(at + n + 2, 1);
    put16(at + n + 4, r->ttl >> 16);
    put16(at + n + 6, r->ttl & 0xffff);
    size_t len = put_value(at + n + 10, r);
    put16(at + n + 8, (unsigned)len);
    return n + 10 + len;
}

/* The records of `name`, a CNAME and what it leads to included. */
static unsigned put_records(struct dns_server *s, const char *name, unsigned type, uint8_t *out, size_t *len)
{
    unsigned count = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct dns_record *r = &s->records[i];
        if (strcasecmp(r->name, name) != 0 || (r->type != type && r->type != DNS_CNAME) || r->value == NULL)
            continue;
        *len += put_record(out + *len, r);
        count++;
        if (r->type == DNS_CNAME)
            count += put_records(s, r->value, type, out, len);
    }
    return count;
}

/* A row of that type, else the first one of that name. */
static const struct dns_record *find(struct dns_server *s, const char *name, unsigned type)
{
    const struct dns_record *found = NULL;

    for (size_t i = 0; i < s->count; i++) {
        const struct dns_record *r = &s->records[i];
        if (strcasecmp(r->name, name) == 0 && (found == NULL || (found->type != type && r->type == type)))
            found = r;
    }
    return found;
}

/* 0: nothing is said. */
static size_t answer(struct dns_server *s, const uint8_t *in, size_t len, bool is_tcp, uint8_t *out)
{
    char name[256];
    size_t question = len > 12 ? 12 + get_name(in + 12, len - 12, name, sizeof(name)) + 4 : 0;

    if (question == 0 || question > len)
        return 0;
    unsigned type = (unsigned)in[question - 4] << 8 | in[question - 3];
    const struct dns_record *r = find(s, name, type);
    enum dns_way way = r != NULL ? r->way : DNS_ANSWERS;
    s->asked++;
    s->asked_over_tcp += is_tcp;
    if (way == DNS_SILENT)
        return 0;
    if (way == DNS_GARBAGE) {
        memcpy(out, in, 2);
        memset(out + 2, 0xAA, 60);
        return 62;
    }
    memcpy(out, in, question);
    put16(out + 2, 0x8180);
    put16(out + 6, 0);
    put16(out + 8, 0);
    put16(out + 10, 0);
    if (r == NULL)
        out[3] |= 3;
    else if (way == DNS_REFUSES)
        out[3] |= 5;
    else if (way == DNS_BREAKS)
        out[3] |= 2;
    else if (way == DNS_CUTS && !is_tcp)
        out[2] |= 2;
    else
        put16(out + 6, put_records(s, name, type, out, &question));
    return question;
}

static void on_udp(struct dns_server *s)
{
    static _Thread_local uint8_t out[ROOM];
    uint8_t in[512];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t got = recvfrom(s->udp, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);

    if (got <= 0)
        return;
    size_t len = answer(s, in, (size_t)got, false, out);
    if (len > 0)
        (void)!sendto(s->udp, out, len, 0, (struct sockaddr *)&from, from_len);
}

static bool read_all(int fd, uint8_t *at, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t got = read(fd, at + have, len - have);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

/* Answers byte by byte, as the slowest of servers. False: it is over. */
static bool on_tcp(struct dns_server *s, int fd)
{
    static _Thread_local uint8_t out[ROOM + 2];
    uint8_t in[514];

    if (!read_all(fd, in, 2))
        return false;
    size_t len = (size_t)in[0] << 8 | in[1];
    if (len > 512 || !read_all(fd, in + 2, len))
        return false;
    size_t n = answer(s, in + 2, len, true, out + 2);
    put16(out, (unsigned)n);
    for (size_t i = 0; n > 0 && i < n + 2; i++) {
        if (write(fd, out + i, 1) != 1)
            return false;
    }
    return true;
}

#define FDS_MAX 64

static void *run(void *arg)
{
    struct dns_server *s = arg;
    struct pollfd fds[FDS_MAX] = {{.fd = s->stop[0], .events = POLLIN}, {.fd = s->udp, .events = POLLIN},
        {.fd = s->tcp, .events = POLLIN}};
    nfds_t count = 3;

    while (poll(fds, count, -1) > 0 && fds[0].revents == 0) {
        if (fds[1].revents != 0)
            on_udp(s);
        for (nfds_t i = 3; i < count; i++) {
            if (fds[i].revents == 0 || on_tcp(s, fds[i].fd))
                continue;
            close(fds[i].fd);
            fds[i].fd = -1;
        }
        if (fds[2].revents != 0 && count < FDS_MAX)
            fds[count++] = (struct pollfd){.fd = accept(s->tcp, NULL, NULL), .events = POLLIN};
    }
    for (nfds_t i = 3; i < count; i++) {
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    }
    return NULL;
}

void dns_server_start(struct dns_server *s, const struct dns_record *records, size_t count)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);

    *s = (struct dns_server){.records = records, .count = count};
    for (int tries = 0; tries < 20; tries++) { /* a port that is free for both */
        here.sin_port = 0;
        s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(s->tcp, (struct sockaddr *)&here, sizeof(here)), 0);
        assert_int_equal(getsockname(s->tcp, (struct sockaddr *)&here, &len), 0);
        if (bind(s->udp, (struct sockaddr *)&here, sizeof(here)) == 0)
            break;
        close(s->tcp);
        close(s->udp);
        s->tcp = -1;
    }
    assert_true(s->tcp >= 0);
    assert_int_equal(listen(s->tcp, 16), 0);
    (void)snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", ntohs(here.sin_port));
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

void dns_server_stop(struct dns_server *s)
{
    assert_int_equal(write(s->stop[1], "", 1), 1);
    pthread_join(s->thread, NULL);
    close(s->udp);
    close(s->tcp);
    close(s->stop[0]);
    close(s->stop[1]);
}
