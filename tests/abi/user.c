/* A stranger's program over the installed header: every call is made, and used wrongly. Prints what it shows, and ends
 * with a line that says how many checks held; a check that does not hold ends it at once. */

#define _DEFAULT_SOURCE

#include <plasmite.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int checks;

#define CHECK(condition)                                                       \
  do {                                                                         \
    checks++;                                                                  \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

/* The call succeeds, and says of no error. */
#define OK(call)                                                               \
  do {                                                                         \
    plsm_error_t *err = (plsm_error_t *)1;                                     \
    int status = (call);                                                       \
    if (status < 0)                                                            \
      fprintf(stderr, "%s\n", err->message);                                   \
    CHECK(status >= 0 && err == NULL);                                         \
  } while (0)

/* The call fails with this kind, and says why. */
#define FAILS(expected, call)                                                  \
  do {                                                                         \
    plsm_error_t *err = NULL;                                                  \
    CHECK((call) == -1);                                                       \
    CHECK(err != NULL && err->kind == (expected));                             \
    CHECK(err->message != NULL && err->message[0] != 0);                       \
    plsm_error_free(err);                                                      \
  } while (0)

static const uint8_t *bytes(const char *text) { return (const uint8_t *)text; }

static int append(plsm_pool_t *pool, const char *json, plsm_buf_t *out,
                  plsm_error_t **err) {
  const char *tags[] = {"c", "test"};
  return plsm_pool_append_json(pool, bytes(json), strlen(json), tags, 2,
                               PLSM_DURABILITY_FAST, out, err);
}

static void messages(plsm_pool_t *pool) {
  plsm_buf_t message = {0};
  OK(append(pool, "{ \"x\": 1.0 }", &message, &err));
  printf("appended %s\n", (char *)message.data);
  CHECK(strstr((char *)message.data, "\"data\":{\"x\":1.0}"));
  CHECK(strstr((char *)message.data, "\"tags\":[\"c\",\"test\"]"));
  CHECK(strlen((char *)message.data) == message.len);
  plsm_buf_free(&message);
  CHECK(message.data == NULL && message.len == 0);
  plsm_buf_free(&message);

  OK(plsm_pool_get_json(pool, 1, &message, &err));
  printf("fetched  %s\n", (char *)message.data);
  plsm_buf_free(&message);
  FAILS(PLSM_ERROR_NOT_FOUND, plsm_pool_get_json(pool, 99, &message, &err));
  CHECK(message.data == NULL && message.len == 0);
  FAILS(PLSM_ERROR_USAGE, append(pool, "{nonsense", &message, &err));
  FAILS(PLSM_ERROR_USAGE, append(pool, "", &message, &err));

  const char *tag = "batch";
  plsm_entry_t entries[] = {
      {.json = bytes("2"), .len = 1, .tags = &tag, .tag_count = 1},
      {.json = bytes("3"), .len = 1},
  };
  plsm_receipt_t receipt;
  OK(plsm_pool_append_batch(pool, entries, 2, PLSM_DURABILITY_FLUSH, &receipt, &err));
  CHECK(receipt.first_seq == 2 && receipt.last_seq == 3);
  CHECK(receipt.durability == PLSM_DURABILITY_FLUSH && receipt.time_ns > 0);
  plsm_entry_t stamped = {.json = bytes("7"), .len = 1, .seq = 7, .time_ns = receipt.time_ns + 1};
  OK(plsm_pool_append_batch(pool, &stamped, 1, PLSM_DURABILITY_FAST, &receipt, &err));
  CHECK(receipt.first_seq == 7 && receipt.last_seq == 7);
  FAILS(PLSM_ERROR_USAGE,
        plsm_pool_append_batch(pool, entries, 0, PLSM_DURABILITY_FAST, &receipt, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_append_batch(pool, entries, 2, 9, &receipt, &err));
  OK(plsm_pool_flush(pool, &err));

  plsm_buf_t info;
  OK(plsm_pool_info_json(pool, &info, &err));
  CHECK(strstr((char *)info.data, "\"bounds\":{\"oldest\":1,\"newest\":7}"));
  plsm_buf_free(&info);
}

static void streams(plsm_pool_t *pool) {
  plsm_stream_t *stream;
  plsm_buf_t message;
  int seen = 0, status;
  plsm_error_t *err = NULL;
  OK(plsm_stream_open(pool, 0, 0, 3, 1, 0, 0, &stream, &err));
  while ((status = plsm_stream_next(stream, &message, &err)) == 1) {
    seen++;
    plsm_buf_free(&message);
  }
  CHECK(status == 0 && seen == 3 && message.data == NULL);
  CHECK(plsm_stream_next(stream, &message, &err) == 0);
  plsm_stream_free(stream);
  FAILS(PLSM_ERROR_USAGE, plsm_stream_next(stream, &message, &err));

  /* What is missing, between 3 and 7, is told by one call, and passed over by the other. */
  plsm_stream_options_t options = {.struct_size = sizeof options, .since_seq = 3, .has_since = 1, .no_follow = 1};
  plsm_event_t event = {.struct_size = sizeof event};
  OK(plsm_stream_open_ex(pool, &options, &stream, &err));
  OK(plsm_stream_read(stream, 0, &event, &err));
  CHECK(event.kind == PLSM_EVENT_MESSAGE);
  plsm_buf_free(&event.message);
  OK(plsm_stream_read(stream, UINT64_MAX, &event, &err));
  CHECK(event.kind == PLSM_EVENT_GAP && event.first_missing == 4 && event.last_missing == 6);
  uint64_t next;
  OK(plsm_stream_next_seq(stream, &next, &err));
  CHECK(next == 7);
  OK(plsm_stream_read(stream, 0, &event, &err));
  CHECK(event.kind == PLSM_EVENT_MESSAGE && event.message.data[event.message.len] == 0);
  plsm_buf_free(&event.message);
  OK(plsm_stream_read(stream, 0, &event, &err));
  CHECK(event.kind == PLSM_EVENT_END && event.end_reason == PLSM_END_CAUGHT_UP);
  plsm_stream_free(stream);

  options.gap_policy = PLSM_GAP_ERROR;
  OK(plsm_stream_open_ex(pool, &options, &stream, &err));
  CHECK(plsm_stream_next(stream, &message, &err) == 1);
  plsm_buf_free(&message);
  FAILS(PLSM_ERROR_RETENTION_GAP, plsm_stream_next(stream, &message, &err));
  plsm_stream_free(stream);

  /* One tag, and the last messages before it is looked at. */
  const char *tag = "batch";
  options = (plsm_stream_options_t){.struct_size = sizeof options, .last_messages = 3, .has_last = 1,
                                    .no_follow = 1, .tags = &tag, .tag_count = 1};
  OK(plsm_stream_open_ex(pool, &options, &stream, &err));
  OK(plsm_stream_next(stream, &message, &err));
  CHECK(strstr((char *)message.data, "\"seq\":2"));
  plsm_buf_free(&message);
  CHECK(plsm_stream_next(stream, &message, NULL) == 0);
  plsm_stream_free(stream);

  options.has_since = 1;
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open_ex(pool, &options, &stream, &err));
  options = (plsm_stream_options_t){.struct_size = 8};
  stream = (plsm_stream_t *)1;
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open_ex(pool, &options, &stream, &err));
  CHECK(stream == NULL);
  options = (plsm_stream_options_t){.struct_size = sizeof options, .gap_policy = 2};
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open_ex(pool, &options, &stream, &err));

  /* A newer header: longer, and zero beyond what this library knows; then not zero. */
  struct {
    plsm_stream_options_t known;
    uint64_t more;
  } newer = {.known = {.struct_size = sizeof newer, .no_follow = 1}};
  OK(plsm_stream_open_ex(pool, &newer.known, &stream, &err));
  plsm_stream_free(stream);
  newer.more = 1;
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open_ex(pool, &newer.known, &stream, &err));

  /* The header as it was first published ended before `since_time_ns`. */
  options = (plsm_stream_options_t){.struct_size = offsetof(plsm_stream_options_t, since_time_ns), .max_messages = 1, .has_max = 1};
  OK(plsm_stream_open_ex(pool, &options, &stream, &err));
  OK(plsm_stream_next(stream, &message, &err));
  plsm_buf_free(&message);
  plsm_stream_free(stream);
}

static void *wait_on(void *stream) {
  plsm_buf_t message;
  plsm_error_t *err = NULL;
  int status = plsm_stream_next(stream, &message, &err);
  if (err != NULL) {
    /* It was freed before this thread came to it. */
    CHECK(status == -1 && err->kind == PLSM_ERROR_USAGE);
    plsm_error_free(err);
    return NULL;
  }
  CHECK(status == 0 && message.data == NULL);
  return NULL;
}

static void other_threads(plsm_pool_t *pool) {
  plsm_stream_options_t options = {.struct_size = sizeof options, .from_newest = 1};
  for (int freed = 0; freed < 2; freed++) {
    plsm_stream_t *stream;
    pthread_t waiting;
    OK(plsm_stream_open_ex(pool, &options, &stream, &err));
    CHECK(pthread_create(&waiting, NULL, wait_on, stream) == 0);
    /* It waits by now, as a rule; if not, it finds the stream freed, which is as good. */
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (freed)
      plsm_stream_free(stream);
    else
      OK(plsm_stream_cancel(stream, &err));
    CHECK(pthread_join(waiting, NULL) == 0);
    plsm_stream_free(stream);
  }
}

static void misuse(plsm_client_t *client, plsm_pool_t *pool) {
  plsm_client_t *no_client;
  plsm_pool_t *no_pool;
  plsm_stream_t *no_stream;
  plsm_buf_t buffer;
  plsm_receipt_t receipt;
  FAILS(PLSM_ERROR_USAGE, plsm_client_new(NULL, &no_client, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_client_new(".", NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_open(NULL, "x", &no_pool, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_open(client, NULL, &no_pool, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_open(client, "x", NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_open(client, "\xff", &no_pool, &err));
  FAILS(PLSM_ERROR_NOT_FOUND, plsm_pool_open(client, "missing", &no_pool, &err));
  CHECK(no_pool == NULL);
  FAILS(PLSM_ERROR_USAGE, plsm_pool_create(NULL, "x", 0, &no_pool, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_create(client, NULL, 0, &no_pool, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_create(client, "x", 0, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_create(client, "x", 1, &no_pool, &err));
  no_pool = (plsm_pool_t *)1;
  FAILS(PLSM_ERROR_USAGE, plsm_pool_create_ex(client, "x", NULL, &no_pool, &err));
  CHECK(no_pool == NULL);
  FAILS(PLSM_ERROR_USAGE, plsm_pool_delete(NULL, "x", &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_delete(client, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_list_json(client, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_verify_json(NULL, "x", &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_verify_json(client, NULL, &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_verify_json(client, "x", NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_with_lock_timeout(NULL, 0, &no_pool, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_with_lock_timeout(pool, 0, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_info_json(NULL, &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_info_json(pool, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_append_json(NULL, bytes("1"), 1, NULL, 0, 0, &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_append_json(pool, NULL, 1, NULL, 0, 0, &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_append_json(pool, bytes("1"), 1, NULL, 1, 0, &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_append_json(pool, bytes("1"), 1, NULL, 0, 0, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_append_batch(pool, NULL, 1, 0, &receipt, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_get_json(pool, 1, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_flush(NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open(NULL, 0, 0, 0, 0, 0, 0, &no_stream, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open(pool, 0, 0, 0, 0, 0, 0, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_stream_open_ex(pool, NULL, &no_stream, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_stream_next(NULL, &buffer, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_stream_read(NULL, 0, NULL, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_stream_cancel(NULL, &err));
  /* A handle of another kind, and what was never one. */
  FAILS(PLSM_ERROR_USAGE, plsm_pool_flush((plsm_pool_t *)client, &err));
  FAILS(PLSM_ERROR_USAGE, plsm_pool_flush((plsm_pool_t *)&buffer, &err));
  CHECK(plsm_pool_open(NULL, NULL, NULL, NULL) == -1);
  plsm_client_free(NULL);
  plsm_pool_free(NULL);
  plsm_stream_free(NULL);
  plsm_buf_free(NULL);
  plsm_error_free(NULL);
  CHECK(plsm_error_hint(NULL) == NULL && plsm_error_json(NULL, &buffer) == -1);
}

static void errors(plsm_client_t *client) {
  plsm_pool_t *pool;
  plsm_error_t *err = NULL;
  CHECK(plsm_pool_open(client, "missing", &pool, &err) == -1);
  printf("error %d: %s (%s)\n", err->kind, err->message, err->path);
  CHECK(err->path != NULL && strstr(err->path, "missing.plasmite"));
  CHECK(plsm_error_hint(err) != NULL);
  printf("hint: %s\n", plsm_error_hint(err));
  plsm_buf_t json;
  CHECK(plsm_error_json(err, &json) == 0);
  CHECK(strncmp((char *)json.data, "{\"error\":{\"kind\":\"NotFound\"", 27) == 0);
  plsm_buf_free(&json);
  plsm_error_free(err);
}

/* Somebody else writes, and does not come to an end. */
static pthread_mutex_t patience_lock = PTHREAD_MUTEX_INITIALIZER;
static int patience_ended;

/* Waits for the lock as long as the handle does, and tells what came of it. */
static void *append_patiently(void *handle) {
  plsm_pool_t *pool = handle;
  plsm_buf_t message;
  int status = append(pool, "1", &message, NULL);
  plsm_buf_free(&message);
  pthread_mutex_lock(&patience_lock);
  patience_ended = 1;
  pthread_mutex_unlock(&patience_lock);
  return status == 0 ? pool : NULL;
}

static int has_patience_ended(void) {
  pthread_mutex_lock(&patience_lock);
  int ended = patience_ended;
  pthread_mutex_unlock(&patience_lock);
  return ended;
}

/* Whoever waits for 1 ms is refused, and once more, while the first handle waits on: for 5 s. */
static void locked_out(plsm_pool_t *pool, const char *directory) {
  char path[4096];
  snprintf(path, sizeof path, "%s/chat.plasmite", directory);
  int other = open(path, O_RDWR);
  CHECK(other >= 0 && flock(other, LOCK_EX) == 0);
  plsm_pool_t *hasty;
  plsm_buf_t message;
  pthread_t patient;
  void *appended;
  CHECK(pthread_create(&patient, NULL, append_patiently, pool) == 0);
  OK(plsm_pool_with_lock_timeout(pool, 1, &hasty, &err));
  FAILS(PLSM_ERROR_BUSY, append(hasty, "1", &message, &err));
  /* By now the thread has begun: if a bound were no bound, it would be through before this is. */
  FAILS(PLSM_ERROR_BUSY, append(hasty, "1", &message, &err));
  CHECK(!has_patience_ended());
  close(other);
  CHECK(pthread_join(patient, &appended) == 0 && appended == pool);
  OK(append(hasty, "1", &message, &err));
  plsm_buf_free(&message);
  plsm_pool_free(hasty);
  OK(plsm_pool_flush(pool, &err));
}

/* A file is cut under an open pool, in a process that wants to live. */
static void cut(plsm_client_t *client, const char *directory, const struct sigaction *before) {
  struct sigaction now;
  CHECK(sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction == before->sa_sigaction);
  OK(plsm_install_sigbus_guard(&err));
  OK(plsm_install_sigbus_guard(&err));
  CHECK(sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction != before->sa_sigaction);
  plsm_pool_t *pool;
  plsm_buf_t message;
  char path[4096];
  OK(plsm_pool_create(client, "cut", 0, &pool, &err));
  OK(append(pool, "1", &message, &err));
  plsm_buf_free(&message);
  snprintf(path, sizeof path, "%s/cut.plasmite", directory);
  CHECK(truncate(path, 4096) == 0);
  FAILS(PLSM_ERROR_CORRUPT, plsm_pool_get_json(pool, 1, &message, &err));
  FAILS(PLSM_ERROR_CORRUPT, append(pool, "2", &message, &err));
  plsm_pool_free(pool);
  CHECK(unlink(path) == 0);
}

static void check_up(plsm_client_t *client) {
  plsm_buf_t report;
  OK(plsm_pool_verify_json(client, "chat", &report, &err));
  printf("checked  %s\n", (char *)report.data);
  CHECK(strstr((char *)report.data, "\"status\":\"ok\""));
  plsm_buf_free(&report);
  FAILS(PLSM_ERROR_NOT_FOUND, plsm_pool_verify_json(client, "missing", &report, &err));
  CHECK(report.data == NULL);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  struct sigaction before;
  CHECK(sigaction(SIGBUS, NULL, &before) == 0);
  plsm_client_t *client;
  plsm_pool_t *pool;
  plsm_stream_t *stream;
  plsm_buf_t buffer;
  printf("plasmite %s\n", plsm_version());
  OK(plsm_client_new(argv[1], &client, &err));
  OK(plsm_pool_create(client, "chat", 0, &pool, &err));
  plsm_pool_t *same;
  FAILS(PLSM_ERROR_ALREADY_EXISTS, plsm_pool_create(client, "chat", 0, &same, &err));
  plsm_create_options_t small = {.struct_size = sizeof small, .size_bytes = 65536, .has_index_capacity = 1};
  OK(plsm_pool_create_ex(client, "small", &small, &same, &err));
  plsm_pool_free(same);

  messages(pool);
  streams(pool);
  other_threads(pool);
  misuse(client, pool);
  errors(client);
  locked_out(pool, argv[1]);
  check_up(client);
  cut(client, argv[1], &before);

  OK(plsm_pool_list_json(client, &buffer, &err));
  CHECK(strstr((char *)buffer.data, "\"name\":\"chat\"") && strstr((char *)buffer.data, "\"name\":\"small\""));
  plsm_buf_free(&buffer);
  OK(plsm_pool_delete(client, "small", &err));
  FAILS(PLSM_ERROR_NOT_FOUND, plsm_pool_delete(client, "small", &err));

  /* A stream goes on without what it was opened through. */
  OK(plsm_stream_open(pool, 1, 1, 1, 1, 0, 0, &stream, &err));
  plsm_pool_free(pool);
  plsm_client_free(client);
  plsm_pool_free(pool);
  plsm_client_free(client);
  FAILS(PLSM_ERROR_USAGE, plsm_pool_flush(pool, &err));
  CHECK(plsm_stream_next(stream, &buffer, NULL) == 1);
  plsm_buf_free(&buffer);
  plsm_stream_free(stream);
  printf("%d checks held\n", checks);
  return 0;
}
