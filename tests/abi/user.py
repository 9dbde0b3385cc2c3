"""Four threads append and two follow, by ctypes alone: python3 user.py LIBRARY DIRECTORY."""

import ctypes
import json
import sys
import threading
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

WRITERS, EACH = 4, 250


class Buffer(ctypes.Structure):
    _fields_ = [("data", POINTER(c_uint8)), ("len", c_size_t)]


class Error(ctypes.Structure):
    _fields_ = [
        ("kind", c_int32),
        ("message", c_char_p),
        ("path", c_char_p),
        ("seq", c_uint64),
        ("offset", c_uint64),
        ("has_seq", c_uint8),
        ("has_offset", c_uint8),
    ]


class Failure(Exception):
    pass


def load(path):
    """The library's functions, with the types of the header."""
    library = ctypes.CDLL(path)
    handle, error = c_void_p, POINTER(POINTER(Error))
    signatures = {
        "plsm_client_new": [c_char_p, POINTER(handle)],
        "plsm_pool_create": [handle, c_char_p, c_uint64, POINTER(handle)],
        "plsm_pool_append_json": [handle, c_char_p, c_size_t, POINTER(c_char_p), c_size_t, c_uint32, POINTER(Buffer)],
        "plsm_stream_open": [handle, c_uint64, c_uint32, c_uint64, c_uint32, c_uint64, c_uint32, POINTER(handle)],
        "plsm_stream_next": [handle, POINTER(Buffer)],
    }
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = [*arguments, error], c_int
    for name in ("client", "pool", "stream"):
        getattr(library, f"plsm_{name}_free").argtypes = [handle]
    library.plsm_buf_free.argtypes = [POINTER(Buffer)]
    library.plsm_error_free.argtypes = [POINTER(Error)]
    return library


def call(function, *arguments):
    """What the call returns. An error becomes an exception, and is freed."""
    error = POINTER(Error)()
    status = function(*arguments, byref(error))
    if status < 0:
        text = f"{error.contents.kind}: {error.contents.message.decode()}"
        library.plsm_error_free(error)
        raise Failure(text)
    return status


def take(buffer):
    """The JSON in a buffer, which is then freed."""
    text = ctypes.string_at(buffer.data, buffer.len)
    library.plsm_buf_free(byref(buffer))
    return json.loads(text)


def write(pool, writer):
    for count in range(EACH):
        text = json.dumps({"writer": writer, "count": count}).encode()
        tags = (c_char_p * 1)(b"python")
        message = Buffer()
        call(library.plsm_pool_append_json, pool, text, len(text), tags, 1, 0, byref(message))
        envelope = take(message)
        assert envelope["data"] == {"writer": writer, "count": count}, envelope
        assert envelope["meta"] == {"tags": ["python"]}, envelope


def follow(pool, seen):
    stream = c_void_p()
    call(library.plsm_stream_open, pool, 1, 1, WRITERS * EACH, 1, 0, 0, byref(stream))
    message = Buffer()
    while call(library.plsm_stream_next, stream, byref(message)) == 1:
        seen.append(take(message))
    library.plsm_stream_free(stream)


def guarded(failures, function, *arguments):
    def run():
        try:
            function(*arguments)
        except BaseException as failure:  # What a thread raises would be lost.
            failures.append(failure)

    return threading.Thread(target=run)


def main(directory):
    client, pool = c_void_p(), c_void_p()
    call(library.plsm_client_new, directory.encode(), byref(client))
    call(library.plsm_pool_create, client, b"python", 8 << 20, byref(pool))
    failures, followers = [], [[], []]
    threads = [guarded(failures, follow, pool, seen) for seen in followers]
    threads += [guarded(failures, write, pool, writer) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
    for seen in followers:
        assert [message["seq"] for message in seen] == list(range(1, WRITERS * EACH + 1))
        for writer in range(WRITERS):
            counts = [message["data"]["count"] for message in seen if message["data"]["writer"] == writer]
            assert counts == list(range(EACH)), f"writer {writer} is out of order"
    try:
        call(library.plsm_pool_create, client, b"python", 0, byref(c_void_p()))
        raise AssertionError("a pool was created twice")
    except Failure as failure:
        print(f"as it has to be: error {failure}")
    library.plsm_pool_free(pool)
    library.plsm_client_free(client)
    print(f"{WRITERS} threads appended {WRITERS * EACH} messages; {len(followers)} followed all of them in order")


library = load(sys.argv[1])
main(sys.argv[2])
