"""The C ABI behind the adapter protocol of conformance/README.md: python3 adapter.py LIBRARY

It knows the library by its header alone, as a stranger does, and loads it at run time by ctypes. Any build of
include/plasmite.h will do.
"""

import base64
import ctypes
import json
import re
import sys
import time
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from datetime import datetime, timezone

CAN = ["files", "batch", "live", "verify", "actors", "processes", "stamps", "max"]
DURABILITIES = {"fast": 0, "flush": 1}
MESSAGE, GAP, END = 1, 2, 3
ENDS = {1: "max", 2: "timeout", 3: "until", 4: "caught-up", 5: "cancelled"}
# Ends whatever hangs, far beyond what anything takes.
PATIENCE_MS = 30_000
# What stands for a name that names nothing, of a durability or a gap policy.
NO_SUCH = 99


class Buffer(Structure):
    _fields_ = [("data", POINTER(c_uint8)), ("len", c_size_t)]


class Error(Structure):
    _fields_ = [
        ("kind", c_int32),
        ("message", c_char_p),
        ("path", c_char_p),
        ("seq", c_uint64),
        ("offset", c_uint64),
        ("has_seq", c_uint8),
        ("has_offset", c_uint8),
    ]


class Sized(Structure):
    """A structure whose first member is its size."""

    def __init__(self, **members):
        super().__init__(struct_size=ctypes.sizeof(self), **members)


class CreateOptions(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("has_index_capacity", c_uint32),
        ("size_bytes", c_uint64),
        ("index_capacity", c_uint64),
    ]


class StreamOptions(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("gap_policy", c_uint32),
        ("since_seq", c_uint64),
        ("max_messages", c_uint64),
        ("timeout_ms", c_uint64),
        ("has_since", c_uint32),
        ("has_max", c_uint32),
        ("has_timeout", c_uint32),
        ("reserved", c_uint32),
        ("since_time_ns", c_uint64),
        ("last_messages", c_uint64),
        ("until_time_ns", c_uint64),
        ("has_since_time", c_uint32),
        ("has_last", c_uint32),
        ("has_until_time", c_uint32),
        ("from_newest", c_uint32),
        ("no_follow", c_uint32),
        ("poll_only", c_uint32),
        ("tags", POINTER(c_char_p)),
        ("tag_count", c_size_t),
    ]


class Event(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_uint32),
        ("message", Buffer),
        ("first_missing", c_uint64),
        ("last_missing", c_uint64),
        ("end_reason", c_uint32),
        ("reserved", c_uint32),
    ]


class Entry(Structure):
    _fields_ = [
        ("json", c_char_p),
        ("len", c_size_t),
        ("tags", POINTER(c_char_p)),
        ("tag_count", c_size_t),
        ("seq", c_uint64),
        ("time_ns", c_uint64),
    ]


class Receipt(Structure):
    _fields_ = [
        ("first_seq", c_uint64),
        ("last_seq", c_uint64),
        ("time_ns", c_uint64),
        ("durability", c_uint32),
        ("reserved", c_uint32),
    ]


HANDLE = c_void_p
TAGS = POINTER(c_char_p)
# What the calls take before the place for an error.
CALLS = {
    "plsm_install_sigbus_guard": [],
    "plsm_client_new": [c_char_p, POINTER(HANDLE)],
    "plsm_pool_create_ex": [HANDLE, c_char_p, POINTER(CreateOptions), POINTER(HANDLE)],
    "plsm_pool_open": [HANDLE, c_char_p, POINTER(HANDLE)],
    "plsm_pool_open_to_read": [HANDLE, c_char_p, POINTER(HANDLE)],
    "plsm_pool_delete": [HANDLE, c_char_p],
    "plsm_pool_list_json": [HANDLE, POINTER(Buffer)],
    "plsm_pool_info_json": [HANDLE, POINTER(Buffer)],
    "plsm_pool_verify_json": [HANDLE, c_char_p, POINTER(Buffer)],
    "plsm_pool_append_json": [HANDLE, c_char_p, c_size_t, TAGS, c_size_t, c_uint32, POINTER(Buffer)],
    "plsm_pool_append_batch": [HANDLE, POINTER(Entry), c_size_t, c_uint32, POINTER(Receipt)],
    "plsm_pool_get_json": [HANDLE, c_uint64, POINTER(Buffer)],
    "plsm_stream_open_ex": [HANDLE, POINTER(StreamOptions), POINTER(HANDLE)],
    "plsm_stream_read": [HANDLE, c_uint64, POINTER(Event)],
    "plsm_stream_cancel": [HANDLE],
}


class Failure(Exception):
    """An error of the library, as the body and the number that the protocol wants."""

    def __init__(self, error, code):
        super().__init__(error["message"])
        self.error, self.code = error, code


class Library:
    """The calls of the header, which raise what they fail with."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        for name, arguments in CALLS.items():
            function = getattr(self.library, name)
            function.argtypes, function.restype = [*arguments, POINTER(POINTER(Error))], c_int
        self.library.plsm_error_json.argtypes = [POINTER(Error), POINTER(Buffer)]
        self.library.plsm_error_free.argtypes = [POINTER(Error)]
        self.library.plsm_buf_free.argtypes = [POINTER(Buffer)]
        for name in ("client", "pool", "stream"):
            getattr(self.library, f"plsm_{name}_free").argtypes = [HANDLE]

    def call(self, name, *arguments):
        error = POINTER(Error)()
        if getattr(self.library, name)(*arguments, byref(error)) < 0:
            self.fail(error)

    def fail(self, error):
        body = Buffer()
        if not error or self.library.plsm_error_json(error, byref(body)) != 0:
            raise RuntimeError("a call failed and said nothing")
        said = json.loads(self.taken(body))["error"]
        code, differences = error.contents.kind, different(error.contents, said)
        self.library.plsm_error_free(error)
        if differences:
            raise ValueError(f"an error and its JSON differ in {differences}: {said}")
        raise Failure(said, code)

    def handle(self, name, *arguments):
        handle = HANDLE()
        self.call(name, *arguments, byref(handle))
        return handle

    def text(self, name, *arguments):
        buffer = Buffer()
        self.call(name, *arguments, byref(buffer))
        return self.taken(buffer)

    def taken(self, buffer):
        """The text of a buffer, which is then freed."""
        text = ctypes.string_at(buffer.data, buffer.len).decode()
        self.library.plsm_buf_free(byref(buffer))
        return text

    def free(self, kind, handle):
        getattr(self.library, f"plsm_{kind}_free")(handle)


class Adapter:
    def __init__(self, library):
        self.library = library
        self.client = None
        self.pools, self.tails = {}, {}

    def answer(self, request):
        operation = getattr(self, "op_" + request["op"], None)
        if operation is None:
            return {"unimplemented": True}
        try:
            return {"ok": operation(request)}
        except Failure as failure:
            return {"error": failure.error, "code": failure.code}

    def let_go(self, name):
        pool = self.pools.pop(name, None)
        if pool:
            self.library.free("pool", pool)

    def op_hello(self, _):
        return {"protocol": 1, "name": "plasmite C ABI", "can": CAN}

    def op_reset(self, request):
        self.op_reopen(request)
        if self.client:
            self.library.free("client", self.client)
        self.client = self.library.handle("plsm_client_new", request["dir"].encode())
        return {}

    def op_reopen(self, _):
        for tail in self.tails.values():
            self.library.free("stream", tail)
        self.tails.clear()
        for name in list(self.pools):
            self.let_go(name)
        return {}

    def writer(self, request):
        """The handle that is kept for the pool, opened when there is none."""
        name = request["pool"]
        if name not in self.pools:
            self.pools[name] = self.library.handle("plsm_pool_open", self.client, name.encode())
        return self.pools[name]

    def reader(self, request, use):
        """What comes of the kept handle, or of one that may only read."""
        if request["pool"] in self.pools:
            return use(self.pools[request["pool"]])
        pool = self.library.handle("plsm_pool_open_to_read", self.client, request["pool"].encode())
        try:
            return use(pool)
        finally:
            self.library.free("pool", pool)

    def info(self, pool):
        return {"info": json.loads(self.library.text("plsm_pool_info_json", pool))}

    def op_create(self, request):
        options = CreateOptions(
            size_bytes=request.get("size_bytes", 0),
            has_index_capacity="index_capacity" in request,
            index_capacity=request.get("index_capacity", 0),
        )
        name = request["pool"]
        pool = self.library.handle("plsm_pool_create_ex", self.client, name.encode(), byref(options))
        self.let_go(name)
        self.pools[name] = pool
        return self.info(pool)

    def op_info(self, request):
        return self.reader(request, self.info)

    def op_list(self, _):
        pools = json.loads(self.library.text("plsm_pool_list_json", self.client))["pools"]
        for pool in pools:
            # The protocol has no word for it.
            del pool["mtime"]
        return {"pools": pools}

    def op_delete(self, request):
        self.library.call("plsm_pool_delete", self.client, request["pool"].encode())
        return {}

    def op_verify(self, request):
        text = self.library.text("plsm_pool_verify_json", self.client, request["pool"].encode())
        return {"report": json.loads(text)}

    def op_append(self, request):
        text, (tags, count) = data(request), array(request.get("tags", []))
        number = durability(request)
        envelope = self.library.text(
            "plsm_pool_append_json", self.writer(request), text, len(text), tags, count, number
        )
        message = json.loads(re.sub(r',"data":.*', "}", envelope, flags=re.DOTALL))
        return {
            "receipt": {
                "seq": message["seq"],
                "time": message["time"],
                "tags": message["meta"]["tags"],
                "durability": request.get("durability", "fast"),
            }
        }

    def op_append_batch(self, request):
        messages, stamps = request["messages"], request.get("stamps")
        texts = [data(message) for message in messages]
        tags = [array(message.get("tags", [])) for message in messages]
        # A stamp too many is an entry without data, and one too few an entry without a stamp.
        count = max(len(messages), len(stamps or []))
        entries = (Entry * max(count, 1))()
        for i, text in enumerate(texts):
            entry = entries[i]
            entry.json, entry.len = text, len(text)
            entry.tags, entry.tag_count = tags[i]
        for entry, stamp in zip(entries, stamps or []):
            entry.seq, entry.time_ns = stamp["seq"], nanos(stamp["time"])
        receipt = Receipt()
        pool, number = self.writer(request), durability(request)
        self.library.call("plsm_pool_append_batch", pool, entries, count, number, byref(receipt))
        receipts = [
            {"seq": seq, "time": at, "tags": message.get("tags", [])}
            for (seq, at), message in zip(stamped(receipt, stamps, len(messages)), messages)
        ]
        names = {number: name for name, number in DURABILITIES.items()}
        return {"receipts": receipts, "durability": names[receipt.durability]}

    def op_get(self, request):
        text = self.reader(request, lambda pool: self.library.text("plsm_pool_get_json", pool, request["seq"]))
        return {"message": text}

    def stream(self, request, follow):
        options, kept = stream_options(request, follow)
        stream = self.reader(
            request, lambda pool: self.library.handle("plsm_stream_open_ex", pool, byref(options))
        )
        del kept
        return stream

    def op_open_tail(self, request):
        self.tails[request["tail"]] = self.stream(request, True)
        return {}

    def op_close(self, request):
        tail = self.tails.pop(request["tail"])
        self.library.call("plsm_stream_cancel", tail)
        self.library.free("stream", tail)
        return {}

    def tail(self, request):
        """The answer to `tail`, whole: what fails on the way answers with the items before it."""
        try:
            stream = self.stream(request, False)
        except Failure as failure:
            return {"error": failure.error, "code": failure.code}
        try:
            return self.take(stream, None, None)
        finally:
            self.library.free("stream", stream)

    def read(self, request):
        return self.take(self.tails[request["tail"]], request.get("count"), request.get("patience_ms"))

    def take(self, stream, count, patience):
        deadline = time.monotonic() + (PATIENCE_MS if patience is None else patience) / 1000
        items = []
        while count is None or len(items) < count:
            wait = max(0, int((deadline - time.monotonic()) * 1000))
            event = Event()
            try:
                self.library.call("plsm_stream_read", stream, wait, byref(event))
            except Failure as failure:
                return {"items": items, "error": failure.error, "code": failure.code}
            if event.kind == MESSAGE:
                items.append({"message": self.library.taken(event.message)})
            elif event.kind == GAP:
                items.append({"gap": {"first": event.first_missing, "last": event.last_missing}})
            elif event.kind == END:
                return {"ok": {"items": items, "end": ENDS.get(event.end_reason, "another reason")}}
            elif patience is None:
                return {"broken": f"waited for {count} items, came {len(items)}: {items}"}
            else:
                break
        return {"ok": {"items": items}}


def different(error, said):
    """The members of an error that are not what its JSON says."""
    of_struct = {
        "message": error.message.decode(),
        "path": error.path and error.path.decode(),
        "seq": error.seq if error.has_seq else None,
        "offset": error.offset if error.has_offset else None,
    }
    return [name for name, value in of_struct.items() if said.get(name) != value]


def stamped(receipt, stamps, count):
    """Seq and time of each message of a batch. With stamps of its own, the receipt has the first, the last and the time
    of the last."""
    if not stamps:
        seqs = range(receipt.first_seq, receipt.last_seq + 1)
        if len(seqs) != count:
            raise ValueError(f"{count} messages, and a receipt for {seqs}")
        return [(seq, shown(receipt.time_ns)) for seq in seqs]
    ends = stamps[0]["seq"], stamps[-1]["seq"], nanos(stamps[-1]["time"])
    told = receipt.first_seq, receipt.last_seq, receipt.time_ns
    if told != ends:
        raise ValueError(f"stamps from {ends} have a receipt of {told}")
    return [(stamp["seq"], stamp["time"]) for stamp in stamps]


def data(request):
    if "data_base64" in request:
        return base64.b64decode(request["data_base64"])
    return request["data"].encode()


def array(tags):
    """Pointers to these texts, and how many there are."""
    return (c_char_p * max(len(tags), 1))(*[tag.encode() for tag in tags]), len(tags)


def durability(request):
    return DURABILITIES.get(request.get("durability", "fast"), NO_SUCH)


def stream_options(request, follow):
    """The options, and what they point at."""
    options = StreamOptions(no_follow=not request.get("follow", follow))
    start = request.get("start", "oldest")
    if start == "newest":
        options.from_newest = 1
    elif "seq" in start:
        options.since_seq, options.has_since = start["seq"], 1
    elif "last" in start:
        options.last_messages, options.has_last = start["last"], 1
    elif "time" in start:
        options.since_time_ns, options.has_since_time = nanos(start["time"]), 1
    if "until" in request:
        options.until_time_ns, options.has_until_time = nanos(request["until"]), 1
    if "max" in request:
        options.max_messages, options.has_max = request["max"], 1
    if "timeout_ms" in request:
        options.timeout_ms, options.has_timeout = request["timeout_ms"], 1
    options.gap_policy = {"continue": 0, "error": 1}.get(request.get("gap", "continue"), NO_SUCH)
    tags, options.tag_count = array(request.get("tags", []))
    options.tags = ctypes.cast(tags, TAGS)
    return options, tags


def nanos(text):
    """An RFC 3339 time as nanoseconds since 1970."""
    parts = re.fullmatch(r"([^.]*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text.upper())
    if not parts:
        raise ValueError(f"this is no time: {text}")
    whole, fraction, zone = parts.groups()
    seconds = datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp()
    nanoseconds = int(seconds) * 10**9 + int((fraction or "0").ljust(9, "0")[:9])
    if not 0 <= nanoseconds < 2**64:
        raise ValueError(f"no 64 bits hold this time: {text}")
    return nanoseconds


def shown(nanoseconds):
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def main():
    library = Library(sys.argv[1])
    # Files are cut under the handles of this process.
    library.call("plsm_install_sigbus_guard")
    adapter = Adapter(library)
    whole = {"tail": adapter.tail, "read": adapter.read}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = whole.get(request["op"], adapter.answer)(request)
        except ValueError as broken:
            answer = {"broken": str(broken)}
        if "error" in answer:
            # As a program would: what failed is opened again by the next request.
            adapter.let_go(request.get("pool"))
        print(json.dumps({"id": request["id"], **answer}), flush=True)


if __name__ == "__main__":
    main()
