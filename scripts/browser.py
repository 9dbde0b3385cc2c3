#!/usr/bin/env python3
"""A real browser's EventSource against a real server: order, reconnects, and what pages of other origins may not do.

Needs Chromium; BROWSER names another command for it. With an argument, a picture of the page goes to that file.
Takes a plasmite that is built already, which `make browser` sees to.
"""

import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).parent.parent
PLASMITE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/plasmite"
BROWSER = [os.environ.get("BROWSER", "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
BROWSER += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

# Shows what EventSource delivers, tries to append in each way that needs no preflight and in the one that does, and
# tells the server that the page came from, one thing after the other.
PAGE = """<!doctype html><meta charset="utf-8"><title>chat</title><h1>NAME</h1><pre id="log"></pre>
<iframe name="frame" hidden></iframe>
<form method="post" enctype="text/plain" target="frame" action="SERVER/v0/pools/chat/append">
<input type="hidden" name='{"data":"' value='a form"}'></form>
<script>
let told = Promise.resolve();
const tell = what => {
  document.getElementById("log").append(JSON.stringify(what) + "\\n");
  told = told.then(() => fetch("/NAME", {method: "POST", body: JSON.stringify(what)}));
};
const append = options => fetch("SERVER/v0/pools/chat/append", {method: "POST", ...options});
const body = JSON.stringify({data: "a page"});
const attempts = async () => {
  await append({mode: "no-cors", body}).catch(() => {});
  await append({mode: "no-cors", body: new Blob([body])}).catch(() => {});
  document.forms[0].submit();
  await new Promise(done => document.querySelector("iframe").onload = done);
  const json = {headers: {"content-type": "application/json"}, body};
  tell({append: await append(json).then(answer => answer.status, () => "kept from it")});
};
attempts();
const source = new EventSource("SERVER/v0/ui/pools/chat/events");
source.onopen = () => tell({open: true});
source.onerror = () => tell({error: source.readyState === EventSource.CLOSED ? "closed" : "reconnecting"});
for (const type of ["message", "gap", "failure"])
  source.addEventListener(type, event => tell({type, id: event.lastEventId, data: event.data}));
</script>"""


class Site(http.server.ThreadingHTTPServer):
    """An origin of its own: serves the page, and keeps what the page tells."""

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.told, self.server = name, [], None
        self.origin = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def all(self, key):
        return [what[key] for what in list(self.told) if key in what]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(PAGE.replace("SERVER", self.server.server).replace("NAME", self.server.name).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append(json.loads(body))
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(port, origin):
    """Starts a server whose streams end by themselves every second, so that the browser reconnects on its own, too."""
    command = [PLASMITE, "serve", "--bind", f"127.0.0.1:{port}", "--cors-origin", origin, "--max-tail-timeout-ms", "1000"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    started.append(server)
    return server, json.loads(server.stderr.readline())["listening"]


def browse(url, *flags):
    directory = tempfile.mkdtemp(dir=work)
    command = [*BROWSER, f"--user-data-dir={directory}", *flags, url]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    started.append(browser)
    return browser


def stop(process):
    started.remove(process)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


def appends(count):
    for n in range(count):
        call("/v0/pools/chat/append", {"data": {"n": n}})
        time.sleep(0.05)


def newest():
    return json.loads(call("/v0/pools/chat/info"))["pool"]["bounds"].get("newest", 0)


def refused():
    return {status: int(count) for status, count in re.findall(
        r'route="/v0/pools/\{pool\}/append",method="POST",status="(4\d\d)"\} (\d+)', call("/metrics"))}


def wait(what, holds):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    check(what, False)


def check(what, holds):
    print("ok    " if holds else "FAILED", what, flush=True)
    if not holds:
        for site in [friend, stranger]:
            print(site.name, *site.told[-20:], sep="\n  ", file=sys.stderr)
        sys.exit(1)


def run():
    global url
    server, url = serve(0, friend.origin)
    friend.server = stranger.server = url
    call("/v0/pools", {"pool": "chat"})
    appends(20)

    browse(stranger.origin)
    wait("the stranger's page has tried everything", lambda: stranger.all("append") and stranger.all("error"))
    appends(5)
    check("a page of an origin that is not allowed gets no event", not stranger.all("id"))
    check("and its EventSource is closed for good", set(stranger.all("error")) == {"closed"})
    check("it cannot append by text/plain, without a type or by a form: 403 each", refused() == {"403": 3})
    check("nor as JSON, which the preflight keeps it from", stranger.all("append") == ["kept from it"])
    check("nothing was appended", newest() == 25)

    browse(friend.origin)
    wait("the friend's page has tried everything", lambda: friend.all("append") and len(friend.all("id")) >= 27)
    check("a page of the allowed origin may append as JSON, and without a type", newest() == 27)
    check("and as nothing else: 415 for text/plain and a form", refused() == {"403": 3, "415": 2})

    appends(20)
    opened = len(friend.all("open"))
    wait("it reconnects after the end of a stream", lambda: len(friend.all("open")) > opened)
    appends(5)
    lost = len(friend.all("error"))
    stop(server)
    subprocess.run([PLASMITE, "feed", "chat", '"appended while no server runs"'], stdout=subprocess.DEVNULL, check=True)
    wait("it tries again while no server runs", lambda: len(friend.all("error")) > lost + 1)
    server, url = serve(url.rsplit(":")[-1], friend.origin)
    appends(100)
    wait("the last message comes", lambda: str(newest()) in friend.all("id"))
    ids = friend.all("id")
    shown = [json.loads(data)["seq"] for data in friend.all("data")]
    opened, lost = len(friend.all("open")), friend.all("error")
    print(f"      {len(ids)} messages, {opened} connections, {len(lost)} times lost")
    check("every message came once and in order", ids == [str(n) for n in range(1, newest() + 1)])
    check("each with its envelope, and as a message", shown == list(map(int, ids)) and set(friend.all("type")) == {"message"})
    check("its EventSource reconnected each time", set(lost) == {"reconnecting"})
    check("the stranger's page still has nothing", not stranger.all("id"))

    if PICTURE:
        # The picture is taken when the page is loaded, so this needs a moment and no more.
        browse(friend.origin, f"--screenshot={PICTURE}", "--timeout=2000", "--window-size=1100,900").wait(30)


PICTURE = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
started = []
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
    os.environ.update(PLASMITE_DIR=f"{work}/pools", PLASMITE_LOG="off")
    friend, stranger = Site("friend"), Site("stranger")
    try:
        run()
    finally:
        for process in list(started):
            stop(process)
