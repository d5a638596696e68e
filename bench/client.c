/* Callers of a proxy, when wrk cannot say what we want to know.
 *
 *   client PORT HEAD_FILE BODY_FILE CONNECTIONS SECONDS RATE
 *
 * RATE 0: each connection sends its next call as soon as the last one has ended (for streams: how many, how soon the first
 * byte of the body). RATE n: n calls a second in all, timed from when each was due, so that a stall is not
 * forgotten. Prints one JSON object; times are in microseconds. One thread, epoll, loopback only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 16384, MOST = 4000000 };

struct call {
    int fd, busy, status;
    uint64_t started_us, first_us;
    size_t head_used;
    long body_left; /* -1: chunked, until the last chunk */
    int in_body;
    char head[HEAD + 1];
    char tail[8]; /* the last bytes of the body so far */
};

static int port, poll_fd, rate;
static char *request;
static size_t request_size;
static long completed, failed, *first, *whole;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static char *read_file(const char *name, size_t *size) {
    FILE *f = fopen(name, "rb");
    char *text = malloc(1 << 20);
    if (!f || !text)
        die(name);
    *size = fread(text, 1, 1 << 20, f);
    fclose(f);
    return text;
}

static void make_request(const char *head_file, const char *body_file) {
    size_t head_size, body_size;
    char *head = read_file(head_file, &head_size), *body = read_file(body_file, &body_size);
    request = malloc(head_size + body_size + 128);
    request_size = sprintf(request, "%.*sContent-Length: %zu\r\n\r\n", (int)head_size, head, body_size);
    memcpy(request + request_size, body, body_size);
    request_size += body_size;
}

static void open_connection(struct call *c) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &wanted);
    c->busy = 0;
}

static void start(struct call *c, uint64_t due_us) {
    c->started_us = due_us;
    c->first_us = 0;
    c->head_used = 0;
    c->in_body = 0;
    c->busy = 1;
    memset(c->tail, 0, sizeof c->tail);
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) {
        failed++;
        close(c->fd);
        open_connection(c);
    }
}

static void finish(struct call *c, uint64_t now) {
    c->busy = 0;
    if (c->status != 200) {
        failed++;
    } else if (completed < MOST) {
        first[completed] = c->first_us - c->started_us;
        whole[completed++] = now - c->started_us;
    }
}

/* Takes bytes of the body; true when they end it. */
static int take_body(struct call *c, const char *data, size_t size, uint64_t now) {
    if (size && !c->first_us)
        c->first_us = now;
    if (c->body_left >= 0) {
        c->body_left -= (long)size < c->body_left ? (long)size : c->body_left;
        return c->body_left == 0;
    }
    for (size_t i = size > 7 ? size - 7 : 0; i < size; i++) {
        memmove(c->tail, c->tail + 1, 6);
        c->tail[6] = data[i];
    }
    return !memcmp(c->tail, "\r\n0\r\n\r\n", 7);
}

static int take(struct call *c, const char *data, size_t size, uint64_t now) {
    if (c->in_body)
        return take_body(c, data, size, now);
    if (c->head_used + size > HEAD)
        die("a head is too long");
    memcpy(c->head + c->head_used, data, size);
    c->head_used += size;
    c->head[c->head_used] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end)
        return 0;
    c->in_body = 1;
    c->status = atoi(c->head + 9);
    *end = 0;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->body_left = length ? atol(length + 17) : -1;
    end += 4;
    return take_body(c, end, c->head + c->head_used - end, now);
}

static void readable(struct call *c, uint64_t now, int go_on) {
    char data[65536];
    ssize_t got = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        failed += c->busy;
        close(c->fd);
        open_connection(c);
    } else if (c->busy && take(c, data, got, now)) {
        finish(c, now);
    }
    if (!c->busy && go_on)
        start(c, now_us());
}

static int by_size(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static long at(long *values, double share) {
    return completed ? values[(long)((completed - 1) * share)] : -1;
}

int main(int argc, char **argv) {
    if (argc != 7)
        return fprintf(stderr, "usage: client PORT HEAD_FILE BODY_FILE CONNECTIONS SECONDS RATE\n"), 2;
    port = atoi(argv[1]);
    make_request(argv[2], argv[3]);
    int connections = atoi(argv[4]);
    rate = atoi(argv[6]);
    poll_fd = epoll_create1(0);
    first = malloc(MOST * sizeof *first);
    whole = malloc(MOST * sizeof *whole);
    struct call *calls = calloc(connections, sizeof *calls);
    for (int i = 0; i < connections; i++)
        open_connection(&calls[i]);
    uint64_t begun = now_us(), end = begun + (uint64_t)(atof(argv[5]) * 1e6), now = begun, sent = 0;
    for (int i = 0; i < connections && !rate; i++)
        start(&calls[i], now);
    struct epoll_event ready[256];
    int busy = 1;
    while ((now = now_us()) < end || (busy && now < end + 5000000)) {
        uint64_t due = rate ? begun + sent * 1000000 / rate : UINT64_MAX;
        for (int i = 0; due <= now && due < end && i < connections; i++)
            if (!calls[i].busy) {
                start(&calls[i], due);
                due = begun + ++sent * 1000000 / rate;
            }
        uint64_t wait_us = due <= now ? 100 : due - now < 100000 ? due - now : 100000;
        struct timespec wait = {.tv_nsec = wait_us * 1000};
        int count = epoll_pwait2(poll_fd, ready, 256, &wait, NULL);
        now = now_us();
        for (int i = 0; i < count; i++)
            readable(ready[i].data.ptr, now, !rate && now < end);
        busy = 0;
        for (int i = 0; i < connections; i++)
            busy += calls[i].busy;
    }
    double seconds = (now - begun) / 1e6;
    qsort(first, completed, sizeof *first, by_size);
    qsort(whole, completed, sizeof *whole, by_size);
    printf("{\"completed\": %ld, \"failed\": %ld, \"per_second\": %.1f, \"first_p50\": %ld, \"first_p99\": %ld, "
           "\"whole_p50\": %ld, \"whole_p99\": %ld, \"unfinished\": %d}\n",
           completed, failed, completed / seconds, at(first, .5), at(first, .99), at(whole, .5), at(whole, .99), busy);
}
