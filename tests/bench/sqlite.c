/* Durable inserts a second into SQLite (WAL, synchronous=FULL), each of its own transaction, by writers that each wait for their own
 * acknowledgement: what tests/bench/vault compares the audit log with.
 *
 * usage: sqlite shared|own WRITERS SECONDS FOLDER
 * `shared`: one connection that the writers use in turn; `own`: a connection each, which wait for the database's lock.
 * Prints inserts a second, and the median and 99th percentile of the time to the acknowledgement in microseconds. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAYLOAD = 300, MOST = 1 << 22 };
struct connection { sqlite3 *db; sqlite3_stmt *insert; };
static struct connection one;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t ready;
static volatile int over;
static int shared;
static char path[4096];
static unsigned *waits;
static unsigned long count;

static void check(int result, sqlite3 *db) {
    if (result != SQLITE_OK && result != SQLITE_DONE) {
        fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(db));
        exit(1);
    }
}

static struct connection connect(void) {
    struct connection c;
    check(sqlite3_open(path, &c.db), c.db);
    sqlite3_busy_timeout(c.db, 60000);
    check(sqlite3_exec(c.db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                             "CREATE TABLE IF NOT EXISTS entry(number INTEGER PRIMARY KEY, value BLOB)", 0, 0, 0), c.db);
    check(sqlite3_prepare_v2(c.db, "INSERT INTO entry(value) VALUES (?)", -1, &c.insert, 0), c.db);
    return c;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void insert(struct connection *c, const char *value) {
    if (shared) pthread_mutex_lock(&turn);
    check(sqlite3_bind_blob(c->insert, 1, value, PAYLOAD, SQLITE_STATIC), c->db);
    check(sqlite3_step(c->insert), c->db);
    check(sqlite3_reset(c->insert), c->db);
    if (shared) pthread_mutex_unlock(&turn);
}

static void *write_entries(void *unused) {
    (void)unused;
    struct connection mine = shared ? one : connect();
    char value[PAYLOAD];
    memset(value, 'x', sizeof value);
    insert(&mine, value);
    pthread_barrier_wait(&ready);
    while (!over) {
        double begin = now();
        insert(&mine, value);
        unsigned long at = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
        if (at < MOST) waits[at] = (unsigned)((now() - begin) * 1e6);
    }
    return 0;
}

static int compare(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    shared = !strcmp(argv[1], "shared");
    int writers = atoi(argv[2]);
    snprintf(path, sizeof path, "%s/sqlite.db", argv[4]);
    waits = calloc(MOST, sizeof *waits);
    one = connect();
    pthread_barrier_init(&ready, 0, (unsigned)writers + 1);
    pthread_t threads[1024];
    if (!waits || writers < 1 || writers > 1024) return 2;
    for (int i = 0; i < writers; i++)
        if (pthread_create(&threads[i], 0, write_entries, 0)) return 1;
    pthread_barrier_wait(&ready);
    double begin = now(), seconds = atof(argv[3]);
    struct timespec pause = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    nanosleep(&pause, 0);
    over = 1;
    for (int i = 0; i < writers; i++) pthread_join(threads[i], 0);
    double elapsed = now() - begin;
    unsigned long kept = count < MOST ? count : MOST;
    qsort(waits, kept, sizeof *waits, compare);
    printf("%.0f %u %u\n", count / elapsed, kept ? waits[kept / 2] : 0, kept ? waits[kept * 99 / 100] : 0);
    return 0;
}
