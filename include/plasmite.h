/*
 * Plasmite: bounded, persistent rings of JSON messages that many processes share through one file.
 *
 * Made from the library's source; do not edit. What it promises is in spec/abi/v0/SPEC.md.
 *
 * Calls that return an int return 0, or -1 with an error in *err; plsm_stream_next returns 1 with a message and 0 at
 * the end. err may be null, and is set to null by a call that succeeds. Every error is freed with plsm_error_free, every
 * buffer with plsm_buf_free, every handle with the call that is named after it; all of these pass over null.
 * No other pointer may be null unless it says so. Text is UTF-8 and ends in a zero byte. Messages are JSON objects:
 * {"seq":1,"time":"2026-01-31T12:00:00.000000000Z","meta":{"tags":["a"]},"data":{"x":1}}.
 *
 * Handles may be used from any thread, several at once. A handle that was freed is refused, not followed.
 */

#ifndef PLASMITE_H
#define PLASMITE_H

#include <stddef.h>
#include <stdint.h>

// Something inside the library went wrong; the message says what.
#define PLSM_ERROR_INTERNAL 1

// The call was not used as it may be.
#define PLSM_ERROR_USAGE 2

// There is no such pool or message, or no longer.
#define PLSM_ERROR_NOT_FOUND 3

// There is a pool of that name already.
#define PLSM_ERROR_ALREADY_EXISTS 4

// The writer lock was not had in time.
#define PLSM_ERROR_BUSY 5

// The system does not allow it.
#define PLSM_ERROR_PERMISSION 6

// The pool is damaged.
#define PLSM_ERROR_CORRUPT 7

// The system failed, a full disk among other things.
#define PLSM_ERROR_IO 8

// Messages are missing that were to be read.
#define PLSM_ERROR_RETENTION_GAP 9

// Survives the end of the process, not loss of power.
#define PLSM_DURABILITY_FAST 0

// Survives loss of power.
#define PLSM_DURABILITY_FLUSH 1

// Pass over what is missing.
#define PLSM_GAP_CONTINUE 0

// Fail with `PLSM_ERROR_RETENTION_GAP` where something is missing.
#define PLSM_GAP_ERROR 1

// A message is in `message`.
#define PLSM_EVENT_MESSAGE 1

// Messages are missing here; the stream goes on.
#define PLSM_EVENT_GAP 2

// The stream has ended, and stays so.
#define PLSM_EVENT_END 3

// Nothing came in the time given; the stream goes on.
#define PLSM_EVENT_IDLE 4

// The stream delivered as many messages as it was to.
#define PLSM_END_MAX 1

// The stream's time is over.
#define PLSM_END_TIMEOUT 2

// The time has come at which it was to end.
#define PLSM_END_UNTIL 3

// Everything has been delivered that was there when it was opened.
#define PLSM_END_CAUGHT_UP 4

// It was cancelled or freed.
#define PLSM_END_CANCELLED 5

// A directory of pools. Any number of threads may use it at once.
typedef struct plsm_client_t plsm_client_t;

// An open pool. Any number of threads may use it at once.
typedef struct plsm_pool_t plsm_pool_t;

// A place in a pool that is read on from. Threads that use it at once take turns.
typedef struct plsm_stream_t plsm_stream_t;

// What went wrong. Free it with `plsm_error_free`.
typedef struct plsm_error_t {
  // One of the `PLSM_ERROR_` numbers.
  int32_t kind;
  // What happened to what, as text for people. Never null.
  char *message;
  // The file or directory that it is about, or null.
  char *path;
  // The seq that it is about, if `has_seq` is 1.
  uint64_t seq;
  // The place in the file, in bytes, if `has_offset` is 1.
  uint64_t offset;
  // Whether `seq` is known.
  uint8_t has_seq;
  // Whether `offset` is known.
  uint8_t has_offset;
} plsm_error_t;

// Bytes that the library has allocated. One byte of zero follows them, so that text can be printed.
//
// Free it with `plsm_buf_free`, which also resets it. A call that fills a buffer does not look at what is in it.
typedef struct plsm_buf_t {
  // The bytes, or null.
  uint8_t *data;
  // How many there are, without the zero behind them.
  size_t len;
} plsm_buf_t;

// Where a stream begins, what it delivers and when it ends. Set all of it to zero, then `struct_size`, then what you
// want: members that are added later have no effect when they are zero.
//
// Without any beginning it delivers all retained messages, then what comes.
typedef struct plsm_stream_options_t {
  // `sizeof(plsm_stream_options_t)`.
  uint32_t struct_size;
  // `PLSM_GAP_CONTINUE` or `PLSM_GAP_ERROR`.
  uint32_t gap_policy;
  // Begin at this seq, if `has_since` is 1. 0 means 1; one above the newest is waited for.
  uint64_t since_seq;
  // End after so many messages, if `has_max` is 1.
  uint64_t max_messages;
  // End so many milliseconds after the stream was opened, if `has_timeout` is 1.
  uint64_t timeout_ms;
  // Whether `since_seq` counts.
  uint32_t has_since;
  // Whether `max_messages` counts.
  uint32_t has_max;
  // Whether `timeout_ms` counts.
  uint32_t has_timeout;
  // Zero.
  uint32_t reserved;
  // Begin at the first message of this time or later, in nanoseconds since 1970, if `has_since_time` is 1.
  uint64_t since_time_ns;
  // Begin at the last so many messages, if `has_last` is 1.
  uint64_t last_messages;
  // End before the first message of this time or later, in nanoseconds since 1970, if `has_until_time` is 1.
  uint64_t until_time_ns;
  // Whether `since_time_ns` counts.
  uint32_t has_since_time;
  // Whether `last_messages` counts.
  uint32_t has_last;
  // Whether `until_time_ns` counts.
  uint32_t has_until_time;
  // 1 to begin behind the newest message.
  uint32_t from_newest;
  // 1 to end at the message that is the newest when the stream is opened, instead of waiting for more.
  uint32_t no_follow;
  // 1 to look for messages from time to time instead of being woken by writers.
  uint32_t poll_only;
  // Deliver only messages with all of these tags: so many pointers to text. May be null if `tag_count` is 0.
  const char *const *tags;
  // How many tags there are.
  size_t tag_count;
} plsm_stream_options_t;

// What came of a read.
typedef struct plsm_event_t {
  // `sizeof(plsm_event_t)`, set by the caller.
  uint32_t struct_size;
  // One of the `PLSM_EVENT_` numbers.
  uint32_t kind;
  // With `PLSM_EVENT_MESSAGE`: its envelope, as one JSON object. Free it with `plsm_buf_free`.
  struct plsm_buf_t message;
  // With `PLSM_EVENT_GAP`: the first seq that is missing.
  uint64_t first_missing;
  // With `PLSM_EVENT_GAP`: the last seq that is missing.
  uint64_t last_missing;
  // With `PLSM_EVENT_END`: one of the `PLSM_END_` numbers.
  uint32_t end_reason;
  // Zero.
  uint32_t reserved;
} plsm_event_t;

// A message of a batch.
typedef struct plsm_entry_t {
  // The data: one JSON value as UTF-8 text.
  const uint8_t *json;
  // How many bytes `json` has.
  size_t len;
  // So many pointers to text, each a tag. May be null if `tag_count` is 0.
  const char *const *tags;
  // How many tags there are.
  size_t tag_count;
  // The message's seq, if the batch is stamped; else 0.
  uint64_t seq;
  // The message's time in nanoseconds since 1970, if the batch is stamped; else 0.
  uint64_t time_ns;
} plsm_entry_t;

// What was appended: the messages `first_seq` to `last_seq`.
typedef struct plsm_receipt_t {
  // The seq of the first message.
  uint64_t first_seq;
  // The seq of the last message.
  uint64_t last_seq;
  // The time of the last message, in nanoseconds since 1970.
  uint64_t time_ns;
  // `PLSM_DURABILITY_FAST` or `PLSM_DURABILITY_FLUSH`: what was reached.
  uint32_t durability;
  // Zero.
  uint32_t reserved;
} plsm_receipt_t;

// How a pool is created. Set all of it to zero, then `struct_size`, then what you want.
typedef struct plsm_create_options_t {
  // `sizeof(plsm_create_options_t)`.
  uint32_t struct_size;
  // Whether `index_capacity` counts.
  uint32_t has_index_capacity;
  // The size of the file in bytes; 0 for 1 MiB.
  uint64_t size_bytes;
  // How many slots the index has, if `has_index_capacity` is 1; 0 for no index.
  uint64_t index_capacity;
} plsm_create_options_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library, as text that is never freed.
const char *plsm_version(void);

// Makes reading and writing a pool whose file is cut meanwhile fail with `PLSM_ERROR_CORRUPT`, where the system would
// end the process by SIGBUS. Takes that signal over for the whole process and hands on what is not about a pool; no
// other call touches signals. More calls than one change nothing.
//
// # Safety
//
// `err` is null or may be written to.
int plsm_install_sigbus_guard(struct plsm_error_t **err);

// Frees a client. What was opened through it stays open. Null, and what is no open client, are passed over.
void plsm_client_free(struct plsm_client_t *client);

// Frees a pool. What was opened through it stays open. Null, and what is no open pool, are passed over.
void plsm_pool_free(struct plsm_pool_t *pool);

// Frees a stream. A thread that waits on it gets the end. Null, and what is no open stream, are passed over.
void plsm_stream_free(struct plsm_stream_t *stream);

// Frees what is in a buffer, and resets it. Null, and an empty buffer, are passed over.
//
// # Safety
//
// `buffer` is null, or holds what a call of this library put there, or is empty.
void plsm_buf_free(struct plsm_buf_t *buffer);

// Frees an error. Null is passed over.
//
// # Safety
//
// `error` is null, or an error of this library that was not freed.
void plsm_error_free(struct plsm_error_t *error);

// What to do about an error, as text that lives as long as the error; null if there is nothing to say.
//
// # Safety
//
// `error` is null, or an error of this library that was not freed.
const char *plsm_error_hint(const struct plsm_error_t *error);

// An error as the JSON object that every other surface of Plasmite reports: `{"error":{"kind":...}}`. Free it with
// `plsm_buf_free`.
//
// # Safety
//
// `error` is null, or an error of this library that was not freed; `out_json` is null or may be written to.
int plsm_error_json(const struct plsm_error_t *error,
                    struct plsm_buf_t *out_json);

// Opens a stream of a pool's messages: from `since` on if `has_since` is 1, else from the oldest; at most `max` if `has_max`
// is 1; for at most `timeout_ms` if `has_timeout` is 1. Free it with `plsm_stream_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_stream_open(const struct plsm_pool_t *pool,
                     uint64_t since,
                     uint32_t has_since,
                     uint64_t max,
                     uint32_t has_max,
                     uint64_t timeout_ms,
                     uint32_t has_timeout,
                     struct plsm_stream_t **out,
                     struct plsm_error_t **err);

// As `plsm_stream_open`, with all options.
//
// # Safety
//
// Pointers are as the header says.
int plsm_stream_open_ex(const struct plsm_pool_t *pool,
                        const struct plsm_stream_options_t *options,
                        struct plsm_stream_t **out,
                        struct plsm_error_t **err);

// Waits for the next message, passing over what is missing: 1 with its envelope in `out_message`, 0 at the end, -1 for an
// error. Free the message with `plsm_buf_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_stream_next(const struct plsm_stream_t *stream,
                     struct plsm_buf_t *out_message,
                     struct plsm_error_t **err);

// Waits for what comes next, for at most `wait_ms` (`UINT64_MAX`: as long as it takes), and says of it what
// `plsm_stream_next` does not: what is missing, and why the stream ended. `out_event->struct_size` is set by the caller.
//
// # Safety
//
// Pointers are as the header says.
int plsm_stream_read(const struct plsm_stream_t *stream,
                     uint64_t wait_ms,
                     struct plsm_event_t *out_event,
                     struct plsm_error_t **err);

// The seq to begin another stream at that goes on where this one is.
//
// # Safety
//
// Pointers are as the header says.
int plsm_stream_next_seq(const struct plsm_stream_t *stream,
                         uint64_t *out_seq,
                         struct plsm_error_t **err);

// Ends a stream from any thread. One that waits on it gets the end.
//
// # Safety
//
// Pointers are as the header says.
int plsm_stream_cancel(const struct plsm_stream_t *stream, struct plsm_error_t **err);

// Appends a message: `json` is one JSON value as UTF-8 text of `len` bytes. Gives the message's envelope, as one JSON
// object. Free it with `plsm_buf_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_append_json(const struct plsm_pool_t *pool,
                          const uint8_t *json,
                          size_t len,
                          const char *const *tags,
                          size_t tag_count,
                          uint32_t durability,
                          struct plsm_buf_t *out_message,
                          struct plsm_error_t **err);

// Appends all of these messages, in order, or none: they become visible together. If any of them has a seq or a time,
// all need both, and keep them.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_append_batch(const struct plsm_pool_t *pool,
                           const struct plsm_entry_t *entries,
                           size_t entry_count,
                           uint32_t durability,
                           struct plsm_receipt_t *out_receipt,
                           struct plsm_error_t **err);

// Makes everything that was appended so far survive loss of power.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_flush(const struct plsm_pool_t *pool, struct plsm_error_t **err);

// Gives the message `seq`, as its envelope. Free it with `plsm_buf_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_get_json(const struct plsm_pool_t *pool,
                       uint64_t seq,
                       struct plsm_buf_t *out_message,
                       struct plsm_error_t **err);

// Gives a client of the pools in a directory, which need not be there yet. Free it with `plsm_client_free`.
//
// # Safety
//
// As the header says: `pool_dir` is null or text, `out` and `err` are null or may be written to.
int plsm_client_new(const char *pool_dir,
                    struct plsm_client_t **out,
                    struct plsm_error_t **err);

// Creates a pool of `size_bytes`, 0 for the default, and opens it. Free it with `plsm_pool_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_create(const struct plsm_client_t *client,
                     const char *pool,
                     uint64_t size_bytes,
                     struct plsm_pool_t **out,
                     struct plsm_error_t **err);

// As `plsm_pool_create`, with options.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_create_ex(const struct plsm_client_t *client,
                        const char *pool,
                        const struct plsm_create_options_t *options,
                        struct plsm_pool_t **out,
                        struct plsm_error_t **err);

// Opens a pool to append to it and to read it. Free it with `plsm_pool_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_open(const struct plsm_client_t *client,
                   const char *pool,
                   struct plsm_pool_t **out,
                   struct plsm_error_t **err);

// Opens a pool to read it, which needs no right to write it. Free it with `plsm_pool_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_open_to_read(const struct plsm_client_t *client,
                           const char *pool,
                           struct plsm_pool_t **out,
                           struct plsm_error_t **err);

// Deletes a pool. Whoever has it open is told at the next call.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_delete(const struct plsm_client_t *client,
                     const char *pool,
                     struct plsm_error_t **err);

// The pools of a directory, as one JSON object `{"pools":[...]}`, sorted by name. One that cannot be read has an `error`
// and hides no other. Free it with `plsm_buf_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_list_json(const struct plsm_client_t *client,
                        struct plsm_buf_t *out_list,
                        struct plsm_error_t **err);

// Checks a whole pool, damaged or not, as one JSON object: `status`, `ok` or `corrupt`, `last_good_seq`, up to which all
// is sound, all ranges of `sound` messages, `issue_count` and the first `issues`. Damage is no error of this call. Free it
// with `plsm_buf_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_verify_json(const struct plsm_client_t *client,
                          const char *pool,
                          struct plsm_buf_t *out_report,
                          struct plsm_error_t **err);

// The same pool under another handle, whose appends wait at most `timeout_ms` for another writer, then fail with
// `PLSM_ERROR_BUSY`; the first handle stays as it is (5 seconds, unless it came from this call). 0 tries once. Free it with
// `plsm_pool_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_with_lock_timeout(const struct plsm_pool_t *pool,
                                uint64_t timeout_ms,
                                struct plsm_pool_t **out,
                                struct plsm_error_t **err);

// What there is to know of a pool, as one JSON object: name, path, sizes, bounds, metrics. Free it with `plsm_buf_free`.
//
// # Safety
//
// Pointers are as the header says.
int plsm_pool_info_json(const struct plsm_pool_t *pool,
                        struct plsm_buf_t *out_info,
                        struct plsm_error_t **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PLASMITE_H */
