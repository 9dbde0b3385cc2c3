"""What the OpenAPI description leaves open, said for the server that scripts/schemathesis.sh starts."""

import json
import os

import schemathesis
from schemathesis.core.failures import ServerError
from schemathesis.openapi.checks import RejectedPositiveData

SEQ = {"type": "integer", "minimum": 1}
GAP = {"type": "object", "required": ["first", "last"], "properties": {"first": SEQ, "last": SEQ}}


def reference(name):
    return {"$ref": f"#/components/schemas/{name}"}


def line(name, schema):
    return {"type": "object", "required": [name], "properties": {name: schema}, "additionalProperties": False}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    operations = [operation for item in raw_schema["paths"].values() for operation in item.values()]
    by_id = {operation["operationId"]: operation for operation in operations}

    # A credential is optional for servers in general; this one wants it.
    for operation in operations:
        if "security" in operation:
            operation["security"].remove({})

    # Numbers have 64 bits, times are strings of two forms, and the limit of a timeout depends on the server's flags.
    time = {"anyOf": [{"format": "date-time"}, {"pattern": "^[0-9]+(ms|s|m|h|d)$"}]}
    for name in ["tail", "ui_events"]:
        parameters = {parameter["name"]: parameter["schema"] for parameter in by_id[name]["parameters"]}
        for schema in parameters.values():
            if schema.get("format") == "uint64":
                schema["maximum"] = 2**64 - 1
        parameters["since"].update(time)
        parameters["until"].update(time)
        parameters["timeout_ms"]["maximum"] = int(os.environ["LONGEST_TAIL_MS"])

    # What is described is one line, and what comes are many, with notices and a failure among them.
    tail = by_id["tail"]["responses"]["200"]["content"]["application/jsonl"]
    # With notices the last line says why it is the last one, unless the server shuts down. [STREAM-18]
    end = {"next_seq": SEQ, "end": {"enum": ["max", "timeout", "until"]}}
    last = {"type": "object", "required": ["next_seq"], "properties": end, "additionalProperties": False}
    notices = [line("gap", GAP), last]
    tail["schema"] = {"type": "array", "items": {"anyOf": [reference("Envelope"), reference("ErrorBody"), *notices]}}

    data = raw_schema["components"]["schemas"]["Event"]["properties"]["data"]
    data["contentMediaType"] = "application/json"
    data["contentSchema"] = {"anyOf": [reference("Envelope"), reference("ErrorBody"), GAP]}

    # What every response carries. [HTTP-1] [HTTP-8]
    version = {"required": True, "schema": {"type": "string", "const": "0"}}
    request_id = {"required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}}
    for operation in operations:
        for response in operation["responses"].values():
            response["headers"] = {"plasmite-version": version, "x-request-id": request_id}

    # Where a pool and a message come from, so that the stateful phase gets to use what it made.
    pool = {"pool": "$response.body#/pool/name"}
    by_id["create_pool"]["responses"]["200"]["links"] = {
        name: {"operationId": name, "parameters": pool}
        for name in ["pool_info", "append", "append_batch", "tail", "ui_events", "delete_pool"]
    }
    by_id["create_pool"]["responses"]["200"]["links"]["open_pool"] = {"operationId": "open_pool", "requestBody": pool}
    message = {"pool": "$request.path.pool", "seq": "$response.body#/message/seq"}
    by_id["append"]["responses"]["200"]["links"] = {"message": {"operationId": "message", "parameters": message}}


@schemathesis.deserializer("application/jsonl")
def deserialize_lines(context, response):
    # Not `splitlines`, which also splits at characters that strings in JSON may hold.
    *lines, rest = response.content.decode().split("\n")
    if rest:
        raise ValueError("the last line has no end")
    return [json.loads(line) for line in lines]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops what is no failure: a refusal of what the schema of a parameter or member cannot exclude."""
    body = case.body if isinstance(case.body, dict) else {}
    if isinstance(failure, RejectedPositiveData) and response.status_code == 400:
        return not (has_two_starts(case.query or {}) or has_bad_dimensions(body))
    if isinstance(failure, ServerError) and response.status_code == 500:
        return not is_larger_than_the_disk(body)
    return True


def has_two_starts(query):
    """At most one start may be given. [STREAM-3]"""
    return len({"since_seq", "last", "since"} & set(query)) > 1


def has_bad_dimensions(body):
    """How large an index may be depends on the size [SIZE-7], no file has 2^63 bytes [SIZE-2], and 65536.0 is no number of bytes."""
    size, slots = body.get("size_bytes"), body.get("index_capacity")
    if isinstance(size, float) or isinstance(slots, float):
        return True
    if isinstance(size, int) and size >= 2**63:
        return True
    return isinstance(slots, int) and slots * 16 > (1024 * 1024 if size is None else size) // 2


def is_larger_than_the_disk(body):
    """A pool has its place on the disk from the start; that there is none is `Io`, and so 500. [HTTP-5]"""
    size = body.get("size_bytes")
    return isinstance(size, int) and size > int(os.environ["LARGEST_FILE"])
