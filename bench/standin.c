/* A provider that costs next to nothing, so that a benchmark measures what stands before it.
 *
 *   standin PORT EVENTS INTERVAL_MS
 *
 * Answers POST on any path with a chat completion of 1.5 KB; with a stream of EVENTS events, one each INTERVAL_MS,
 * the first at once, when the body asks for a stream. One thread, epoll, keep-alive, loopback only.
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

enum { BUFFER = 1 << 16, REPLY_BODY = 1536 };

struct connection {
    int fd;
    size_t used;
    int events_left; /* of the stream under way; 0 when none is */
    uint64_t due_us;
    struct connection *next;
    char buffer[BUFFER + 1];
};

static int events, interval_us;
static char reply[4096], chunk[512], last_chunk[512];
static size_t reply_size, chunk_size, last_chunk_size;
static struct connection *streaming;
static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                                  "Transfer-Encoding: chunked\r\nx-request-id: req_bench\r\n\r\n";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void make_replies(void) {
    static char body[2 * REPLY_BODY], filler[REPLY_BODY];
    const char *shape = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                        "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                        "\"content\":\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":210,"
                        "\"completion_tokens\":240,\"total_tokens\":450}}";
    size_t fixed = snprintf(NULL, 0, shape, "");
    for (size_t i = 0; i < REPLY_BODY - fixed; i++)
        filler[i] = "the quick brown fox "[i % 20];
    snprintf(body, sizeof body, shape, filler);
    reply_size = snprintf(reply, sizeof reply,
                          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                          "x-request-id: req_bench\r\n\r\n%s",
                          REPLY_BODY, body);
    const char *event = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                        "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" fox\"},"
                        "\"finish_reason\":null}]}\n\n";
    const char *last = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                       "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"
                       "\"usage\":{\"prompt_tokens\":210,\"completion_tokens\":30,\"total_tokens\":240}}\n\n"
                       "data: [DONE]\n\n";
    chunk_size = snprintf(chunk, sizeof chunk, "%zx\r\n%s\r\n", strlen(event), event);
    last_chunk_size = snprintf(last_chunk, sizeof last_chunk, "%zx\r\n%s\r\n0\r\n\r\n", strlen(last), last);
}

/* Replies are far smaller than a socket's buffer: a short write means that the other side does not read. */
static int send_all(int fd, const char *data, size_t size) {
    return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* The size of the whole request at the start of the buffer; 0 when more is to come, -1 when it cannot be read. */
static long request_size(struct connection *c) {
    c->buffer[c->used] = 0;
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end)
        return c->used == BUFFER ? -1 : 0;
    size_t head = end + 4 - c->buffer;
    *end = 0;
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    char *chunked = strcasestr(c->buffer, "\r\ntransfer-encoding: chunked");
    size_t body = length ? strtoul(length + 17, NULL, 10) : 0;
    *end = '\r';
    if (chunked) {
        char *tail = strstr(c->buffer + head, "0\r\n\r\n");
        return tail ? tail + 5 - c->buffer : (c->used == BUFFER ? -1 : 0);
    }
    if (head + body > BUFFER)
        return -1;
    return c->used >= head + body ? (long)(head + body) : 0;
}

static int send_event(struct connection *c, uint64_t now) {
    c->due_us = now + interval_us;
    if (--c->events_left > 0)
        return send_all(c->fd, chunk, chunk_size);
    return send_all(c->fd, last_chunk, last_chunk_size);
}

static void stop_streaming(struct connection *c) {
    for (struct connection **p = &streaming; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            return;
        }
}

static void drop(struct connection *c) {
    stop_streaming(c);
    close(c->fd);
    free(c);
}

static int answer(struct connection *c, size_t size) {
    char after = c->buffer[size];
    c->buffer[size] = 0;
    int stream = strstr(c->buffer, "\"stream\":true") || strstr(c->buffer, "\"stream\": true");
    c->buffer[size] = after;
    if (!stream)
        return send_all(c->fd, reply, reply_size);
    c->events_left = events;
    c->next = streaming;
    streaming = c;
    return send_all(c->fd, stream_head, sizeof stream_head - 1) && send_event(c, now_us());
}

static int readable(struct connection *c) {
    ssize_t got = recv(c->fd, c->buffer + c->used, BUFFER - c->used, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    c->used += got;
    long size;
    while (c->used && !c->events_left && (size = request_size(c)) != 0) {
        if (size < 0 || !answer(c, size))
            return 0;
        memmove(c->buffer, c->buffer + size, c->used - size);
        c->used -= size;
    }
    return 1;
}

/* Sends what is due; returns how long to wait for the next, in milliseconds, or -1. */
static int pace(void) {
    uint64_t now = now_us(), soonest = UINT64_MAX;
    for (struct connection *c = streaming, *next; c; c = next) {
        next = c->next;
        if (c->due_us <= now && !send_event(c, now)) {
            shutdown(c->fd, SHUT_RDWR);
            c->events_left = 0;
        }
        if (!c->events_left)
            stop_streaming(c);
        else if (c->due_us < soonest)
            soonest = c->due_us;
    }
    if (soonest == UINT64_MAX)
        return -1;
    return soonest <= now ? 0 : (int)((soonest - now + 999) / 1000);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return fprintf(stderr, "usage: standin PORT EVENTS INTERVAL_MS\n"), 2;
    events = atoi(argv[2]);
    interval_us = atoi(argv[3]) * 1000;
    make_replies();
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        die("listen");
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int count = epoll_wait(poll, ready, 256, pace());
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *c = ready[i].data.ptr;
            if (c) {
                if (!readable(c))
                    drop(c);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            c = calloc(1, sizeof *c);
            if (!c)
                die("calloc");
            c->fd = fd;
            wanted.data.ptr = c;
            epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
        }
    }
}
