#!/usr/bin/env python3
"""Plasmite's contract in memory: an adapter for the conformance suite, written from spec/ alone.

It shares no code with the project and uses nothing beyond Python's standard library. Pools are lists of frames that
take the room in a ring that spec/format gives them, so that they forget exactly when a pool file would.
Requests come as JSON lines on standard input, answers go out as JSON lines; conformance/README.md says what they are.
"""

import base64
import datetime
import json
import os
import re
import sys
import time
import uuid

KINDS = ["Internal", "Usage", "NotFound", "AlreadyExists", "Busy", "Permission", "Corrupt", "Io", "RetentionGap"]
HEADER_SIZE, SLOT_SIZE, FRAME_HEADER = 4096, 16, 48
MIN_FILE, DEFAULT_FILE, BYTES_PER_SLOT = 65536, 1048576, 512
MAX_DEPTH = 100
NO_SEQ = 2**64 - 1
# A read that nothing can satisfy any more is given up, far beyond what any request takes to come.
PATIENCE = 10.0
LARGEST_SIZE = 2**63 - 1
# No file system here holds a larger file.
LARGEST_FILE = 2**44


class Failure(Exception):
    """An error of the contract: a kind, a message, a hint, and where it happened."""

    def __init__(self, kind, message, hint, **where):
        super().__init__(message)
        self.body = {"kind": kind, "message": message, "hint": hint, **where}


class Unimplemented(Exception):
    """A request for an operation that this adapter does not have."""


def usage(message, hint="correct the request", **where):
    return Failure("Usage", message, hint, **where)


def shown(text):
    """What was typed, in quotes: no more than 200 characters, and none that would act on a terminal (ERR-26)."""
    return "`" + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text[:200]) + "`"


# --- JSON text: what is kept is what was given, without the white space outside strings ---

DIGITS = re.compile(rb"[0-9]*")
SPACE = b" \t\n\r"


class Scanner:
    """Checks one JSON value (RFC 8259) and copies it without white space."""

    def __init__(self, data):
        self.data = data
        self.at = 0
        self.out = bytearray()
        self.too_deep = None

    def compact(self):
        try:
            self.data.decode("utf-8")
            bad_byte = None
        except UnicodeDecodeError as error:
            bad_byte = error.start
        try:
            self.value(1)
            self.space()
            if self.at < len(self.data):
                raise self.fault()
        except Failure as failure:
            # The first fault counts, whichever kind it is of.
            if bad_byte is None or failure.body["offset"] <= bad_byte:
                raise
        if bad_byte is not None:
            raise usage("the data is not UTF-8", offset=bad_byte)
        if self.too_deep is not None:
            raise usage(f"the data nests more than {MAX_DEPTH} deep", offset=self.too_deep)
        return self.out.decode("utf-8")

    def fault(self):
        return usage("the data is not one JSON value", "send one JSON value", offset=self.at)

    def peek(self):
        return self.data[self.at : self.at + 1]

    def take(self, text):
        for byte in text:
            if self.peek() != bytes([byte]):
                raise self.fault()
            self.at += 1
        self.out += text

    def space(self):
        while self.at < len(self.data) and self.data[self.at] in SPACE:
            self.at += 1

    def value(self, depth):
        # A stack of its own: Python's would end before a long run of brackets does.
        stack = []
        while True:
            self.space()
            first = self.peek()
            if first in (b"[", b"{"):
                if len(stack) >= MAX_DEPTH and self.too_deep is None:
                    self.too_deep = self.at
                self.take(first)
                stack.append(first)
                self.space()
                if self.peek() == closing(first):
                    self.take(closing(first))
                    stack.pop()
                elif first == b"{":
                    self.name()
                    continue
                else:
                    continue
            elif first == b'"':
                self.string()
            elif first == b"t":
                self.take(b"true")
            elif first == b"f":
                self.take(b"false")
            elif first == b"n":
                self.take(b"null")
            elif first and first in b"-0123456789":
                self.number()
            else:
                raise self.fault()
            while stack:
                self.space()
                if self.peek() == b",":
                    self.take(b",")
                    self.space()
                    if stack[-1] == b"{":
                        self.name()
                    break
                self.take(closing(stack[-1]))
                stack.pop()
            if not stack:
                return

    def name(self):
        if self.peek() != b'"':
            raise self.fault()
        self.string()
        self.space()
        self.take(b":")

    def number(self):
        start = self.at
        if self.peek() == b"-":
            self.at += 1
        if self.peek() == b"0":
            self.at += 1
        else:
            self.digits()
        if self.peek() == b".":
            self.at += 1
            self.digits()
        if self.peek() in (b"e", b"E"):
            self.at += 1
            if self.peek() in (b"+", b"-"):
                self.at += 1
            self.digits()
        # What follows is the caller's: `01` and `1.5.2` fail there, at the byte after the number.
        self.out += self.data[start : self.at]

    def digits(self):
        """One digit or more."""
        end = DIGITS.match(self.data, self.at).end()
        if end == self.at:
            raise self.fault()
        self.at = end

    def string(self):
        start = self.at
        self.at += 1
        while True:
            byte = self.peek()
            if not byte or byte < b" ":
                raise self.fault()
            self.at += 1
            if byte == b'"':
                self.out += self.data[start : self.at]
                return
            if byte == b"\\":
                self.escape()

    def escape(self):
        byte = self.peek()
        if not byte or byte not in b'"\\/bfnrtu':
            raise self.fault()
        self.at += 1
        if byte == b"u":
            for _ in range(4):
                digit = self.peek()
                if not digit or digit not in b"0123456789abcdefABCDEF":
                    raise self.fault()
                self.at += 1


def closing(bracket):
    return b"]" if bracket == b"[" else b"}"


# --- times: nanoseconds since 1970 ---

TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
EPOCH = datetime.datetime(1970, 1, 1)
LATEST = 2**64 - 1


def read_time(text):
    found = TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        # Year 0 is one of RFC 3339, but none of datetime's; before 1970 they are all alike.
        # A leap second, which Unix time does not count, is taken for the second before it.
        moment = datetime.datetime(year or 4, month, day, hour, minute, 59 if second == 60 else second)
    except (TypeError, ValueError):
        raise usage(f"{shown(str(text))} is not a time", "write a time as 2026-11-24T00:27:44Z") from None
    since = moment - EPOCH
    seconds = since.days * 86400 + since.seconds
    if found[9]:
        offset = int(found[10]) * 3600 + int(found[11]) * 60
        seconds += -offset if found[9] == "+" else offset
    nanos = int((found[7] or "0").ljust(9, "0"))
    return min(max(seconds * 10**9 + nanos, 0), LATEST)


def write_time(nanos):
    moment = EPOCH + datetime.timedelta(seconds=nanos // 10**9)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos % 10**9:09}Z"


# --- pools ---


class Message:
    """A frame: where it is in the ring, and what it holds."""

    def __init__(self, seq, nanos, tags, data):
        self.seq, self.nanos, self.tags, self.data = seq, nanos, tags, data
        self.position = None
        section = json.dumps(tags, ensure_ascii=False, separators=(",", ":")) if tags else ""
        self.size = FRAME_HEADER + padded(section) + padded(data)

    def envelope(self):
        tags = json.dumps(self.tags, ensure_ascii=False, separators=(",", ":"))
        return f'{{"seq":{self.seq},"time":"{write_time(self.nanos)}","meta":{{"tags":{tags}}},"data":{self.data}}}'

    def receipt(self):
        return {"seq": self.seq, "time": write_time(self.nanos), "tags": self.tags}


def padded(text):
    return -(-len(text.encode("utf-8", "surrogatepass")) // 8) * 8


class Pool:
    """A ring: messages, oldest first, and the end of the newest."""

    def __init__(self, name, path, size, capacity):
        self.name, self.path, self.file_size = name, path, size
        self.capacity = capacity
        self.ring_offset = HEADER_SIZE + capacity * SLOT_SIZE
        self.ring_size = (size - self.ring_offset) // 8 * 8
        self.uuid = str(uuid.uuid4())
        self.created = time.time_ns()
        self.messages = []
        # The genesis frame is the first one in the ring, and no message.
        self.end = self.ring_size + FRAME_HEADER
        self.newest_seq, self.newest_nanos = 0, self.created
        self.deleted = False

    def most(self):
        return self.ring_size // 2 // 8 * 8

    def append(self, messages):
        """Appends all of them, after which what they overwrite is gone."""
        total = sum(message.size for message in messages)
        if total > self.most():
            raise usage(
                f"{total} bytes are more than the {self.most()} that fit: half of the ring",
                "send less, or use a larger pool",
                path=self.path,
            )
        for message in messages:
            message.position = self.end
            self.end += message.size
            self.messages.append(message)
        self.newest_seq, self.newest_nanos = messages[-1].seq, messages[-1].nanos
        gone = self.end - self.ring_size
        self.messages = [message for message in self.messages if message.position >= gone]

    def bounds(self):
        if not self.messages:
            return {}
        return {"oldest": self.messages[0].seq, "newest": self.messages[-1].seq}

    def get(self, seq):
        for message in self.messages:
            if message.seq == seq:
                return message
        bounds = self.bounds()
        hint = f"the oldest is {bounds['oldest']}, the newest {bounds['newest']}" if bounds else "the pool is empty"
        raise Failure("NotFound", f"there is no message {seq}", hint, seq=seq, path=self.path)

    def info(self):
        used = sum(message.size for message in self.messages)
        bounds = self.bounds()
        now = time.time_ns()
        age = dict.fromkeys(["oldest_time", "newest_time", "oldest_age_ms", "newest_age_ms"])
        if bounds:
            oldest, newest = self.messages[0].nanos, self.messages[-1].nanos
            age = {
                "oldest_time": write_time(oldest),
                "newest_time": write_time(newest),
                "oldest_age_ms": max(now - oldest, 0) // 10**6,
                "newest_age_ms": max(now - newest, 0) // 10**6,
            }
            if newest > now:
                age["clock_behind_ms"] = max((newest - now) // 10**6, 1)
        return {
            "name": self.name,
            "path": self.path,
            "file_size": self.file_size,
            "index_offset": HEADER_SIZE,
            "index_capacity": self.capacity,
            "index_size_bytes": self.capacity * SLOT_SIZE,
            "ring_offset": self.ring_offset,
            "ring_size": self.ring_size,
            "bounds": bounds,
            "metrics": {
                "message_count": len(self.messages),
                "seq_span": bounds["newest"] - bounds["oldest"] + 1 if bounds else 0,
                "utilization": {
                    "used_bytes": used,
                    "free_bytes": self.ring_size - used,
                    "used_percent": round(used / self.ring_size * 100, 2),
                },
                "age": age,
            },
            "uuid": self.uuid,
            "format_version": 4,
            "generation": 0,
            "created": write_time(self.created),
        }


class Tail:
    """A reader's place in a pool."""

    def __init__(self, pool, request, follow):
        self.pool = pool
        self.tags = request.get("tags") or []
        self.max = request.get("max")
        self.until = read_time(request["until"]) if "until" in request else None
        self.gap_is_error = request.get("gap", "continue") == "error"
        timeout = request.get("timeout_ms")
        self.deadline = None if timeout is None else time.monotonic() + timeout / 1000
        self.last = None if request.get("follow", follow) else pool.newest_seq
        self.since = 0
        self.next = self.start(request.get("start", "oldest"))
        self.delivered = 0
        self.outcome = None

    def start(self, start):
        messages, after = self.pool.messages, self.pool.newest_seq + 1
        if start == "newest":
            return after
        if start == "oldest":
            return messages[0].seq if messages else after
        if "seq" in start:
            return max(start["seq"], 1)
        if "last" in start:
            chosen = messages[-start["last"] :] if start["last"] else []
            return chosen[0].seq if chosen else after
        # While no message is of that time yet, those that come before it are not to be delivered either.
        self.since = read_time(start["time"])
        return next((message.seq for message in messages if message.nanos >= self.since), after)

    def step(self):
        """The next item, or nothing while there is none. Sets `outcome` at the end."""
        if self.max is not None and self.delivered >= self.max:
            self.outcome = "max"
            return None
        if self.pool.deleted:
            raise Failure("NotFound", f"the pool {shown(self.pool.name)} was deleted", "create it again", path=self.pool.path)
        if self.last is not None and self.next > self.last:
            self.outcome = "caught-up"
            return None
        message = next((message for message in self.pool.messages if message.seq >= self.next), None)
        if message is None:
            self.wait()
            return None
        if message.seq > self.next:
            # What is missing beyond the end is none of this tail's business (LOSS-8).
            last = message.seq - 1
            return self.gap(self.next, last if self.last is None else min(last, self.last))
        if self.until is not None and message.nanos >= self.until:
            self.outcome = "until"
            return None
        self.next = message.seq + 1
        if message.nanos < self.since or not all(tag in message.tags for tag in self.tags):
            return None
        self.delivered += 1
        return {"message": message.envelope()}

    def gap(self, first, last):
        if self.gap_is_error:
            raise Failure(
                "RetentionGap",
                f"messages {first} to {last} are no longer there",
                f"start at {last + 1} to go on without them",
                seq=first,
                path=self.pool.path,
            )
        self.next = last + 1
        return {"gap": {"first": first, "last": last}}

    def wait(self):
        if self.until is not None and time.time_ns() >= self.until:
            self.outcome = "until"
        elif self.deadline is not None and time.monotonic() >= self.deadline:
            self.outcome = "timeout"
        else:
            time.sleep(0.001)

    def read(self, count):
        """Up to `count` items, as an answer."""
        items = []
        given_up = time.monotonic() + PATIENCE
        if isinstance(self.outcome, Failure):
            return failed(self.outcome, items=items)
        while len(items) < count and self.outcome is None and time.monotonic() < given_up:
            try:
                item = self.step()
            except Failure as failure:
                self.outcome = failure
                return failed(failure, items=items)
            if item is not None:
                items.append(item)
        answer = {"items": items}
        if len(items) < count and self.outcome is not None:
            answer["end"] = self.outcome
        return {"ok": answer}


def failed(failure, **more):
    return {"error": failure.body, "code": KINDS.index(failure.body["kind"]) + 1, **more}


# --- the adapter ---


class Adapter:
    def __init__(self):
        self.dir, self.pools, self.tails = "/pools", {}, {}

    def answer(self, request):
        operation = getattr(self, "op_" + request["op"], None)
        if operation is None:
            raise Unimplemented
        if request["op"] in ("tail", "read"):
            return operation(request)
        return {"ok": operation(request)}

    def path(self, request):
        reference = request["pool"]
        if reference.startswith(("http://", "https://")):
            raise usage(f"{shown(reference)} is a URL, and this adapter reaches none", "name a pool or a path")
        name = reference.rsplit("/", 1)[-1] if "/" in reference else reference
        stem = name.removesuffix(".plasmite")
        why = None
        if stem in ("", ".", ".."):
            why = "is empty or a directory"
        elif any("\ud800" <= c <= "\udfff" for c in stem):
            why = "is not UTF-8"
        elif len(stem.encode()) > 200:
            why = "is longer than 200 bytes"
        elif re.search(r"[\\/\x00-\x1f\x7f-\x9f]", stem):
            why = "has a separator or control character in it"
        if why:
            raise usage(f"the pool name in {shown(reference)} {why}", "use a name of 1 to 200 bytes")
        if "/" in reference:
            return stem, os.path.abspath(reference)
        return stem, f"{self.dir}/{stem}.plasmite"

    def pool(self, request):
        _, path = self.path(request)
        if path not in self.pools:
            raise Failure("NotFound", f"there is no pool {shown(request['pool'])}", "create it with `create`", path=path)
        return self.pools[path]

    def op_hello(self, request):
        return {"protocol": 1, "name": "reference", "can": ["batch", "live", "stamps", "max"]}

    def op_reset(self, request):
        self.__init__()
        self.dir = os.path.abspath(request["dir"])
        return {}

    def op_reopen(self, request):
        return {}

    def op_create(self, request):
        name, path = self.path(request)
        size = request.get("size_bytes", DEFAULT_FILE)
        capacity = request.get("index_capacity", size // BYTES_PER_SLOT)
        if size < MIN_FILE:
            raise usage(f"{size} bytes are less than the {MIN_FILE} of the smallest pool", "ask for 64K or more")
        if size > LARGEST_SIZE:
            raise usage(f"{size} bytes are more than a file can have", "ask for less")
        most = size // 2 // SLOT_SIZE
        if capacity > most:
            raise usage(f"{capacity} slots are more than the {most} that this pool may have", f"ask for {most} or less")
        if path in self.pools:
            raise Failure("AlreadyExists", f"there is a pool {shown(request['pool'])}", "use it, or another name", path=path)
        if size > LARGEST_FILE:
            raise Failure("Io", f"cannot create a file of {size} bytes", "ask for less", path=path)
        self.pools[path] = Pool(name, path, size, capacity)
        return {"info": self.pools[path].info()}

    def op_info(self, request):
        return {"info": self.pool(request).info()}

    def op_list(self, request):
        inside = [pool for path, pool in self.pools.items() if path == f"{self.dir}/{pool.name}.plasmite"]
        inside.sort(key=lambda pool: pool.name.encode())
        return {
            "pools": [
                {"name": pool.name, "path": pool.path, "file_size": pool.file_size, "bounds": pool.bounds()}
                for pool in inside
            ]
        }

    def op_delete(self, request):
        pool = self.pool(request)
        pool.deleted = True
        del self.pools[pool.path]
        return {}

    def op_append(self, request):
        pool = self.pool(request)
        message = self.messages(pool, [request])[0]
        pool.append([message])
        return {"receipt": {**message.receipt(), "durability": durability(request)}}

    def op_append_batch(self, request):
        pool = self.pool(request)
        if not request["messages"]:
            raise usage("a batch without messages", "send one message at least")
        messages = self.messages(pool, request["messages"])
        reached = durability(request)
        if "stamps" in request:
            self.stamp(pool, messages, request["stamps"])
        pool.append(messages)
        return {"receipts": [message.receipt() for message in messages], "durability": reached}

    def messages(self, pool, requests):
        """New messages with the next seqs, and one time that does not go back."""
        durability(requests[0])
        nanos = max(time.time_ns(), pool.newest_nanos)
        messages = []
        for count, request in enumerate(requests, 1):
            if "data" in request:
                data = request["data"].encode("utf-8", "surrogatepass")
            else:
                data = base64.b64decode(request["data_base64"])
            seq = pool.newest_seq + count
            messages.append(Message(seq, nanos, request.get("tags") or [], Scanner(data).compact()))
        if messages[-1].seq >= NO_SEQ and "stamps" not in requests[0]:
            raise usage("the pool has no seqs left", "go on in another pool", path=pool.path)
        return messages

    def stamp(self, pool, messages, stamps):
        if len(stamps) != len(messages):
            raise usage(f"{len(stamps)} stamps for {len(messages)} messages")
        seq, nanos = pool.newest_seq, pool.newest_nanos
        for message, stamp in zip(messages, stamps):
            message.seq, message.nanos = stamp["seq"], read_time(stamp["time"])
            if message.seq <= seq or message.seq >= NO_SEQ:
                raise usage(f"seq {message.seq} does not come after {seq}", seq=message.seq)
            if message.nanos < nanos:
                raise usage(f"the time of seq {message.seq} goes back", seq=message.seq)
            seq, nanos = message.seq, message.nanos

    def op_get(self, request):
        return {"message": self.pool(request).get(request["seq"]).envelope()}

    def op_tail(self, request):
        return Tail(self.pool(request), request, follow=False).read(float("inf"))

    def op_open_tail(self, request):
        self.tails[request["tail"]] = Tail(self.pool(request), request, follow=True)
        return {}

    def op_read(self, request):
        return self.tails[request["tail"]].read(request.get("count", float("inf")))

    def op_close(self, request):
        del self.tails[request["tail"]]
        return {}


def durability(request):
    name = request.get("durability", "fast")
    if name not in ("fast", "flush"):
        raise usage(f"{shown(str(name))} is no durability", "use fast or flush")
    return name


def main():
    adapter = Adapter()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = adapter.answer(request)
        except Failure as failure:
            answer = failed(failure)
        except Unimplemented:
            answer = {"unimplemented": True}
        answer["id"] = request["id"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
