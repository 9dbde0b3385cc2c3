//! HTTP, by plain requests to a server process.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use futures_util::StreamExt;
use reqwest::{Client, Method, Response, Version};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::answer::{self, Failure, broken};
use super::tail::{Asked, Start};
use super::{
    PATIENCE, Place, Request, Surface, data, members, number, percent_encoded, text, texts, value,
    wanted,
};
use crate::lines::Lines;
use crate::process::trimmed;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for the requests")
});

pub(crate) struct Http {
    client: Client,
    url: String,
    token: Option<String>,
    tails: BTreeMap<String, Stream>,
}

/// A response that is still coming, one line at a time.
struct Stream {
    lines: Lines,
    task: JoinHandle<()>,
    asked: Option<Asked>,
    /// Why it ended, where that was told.
    end: Option<String>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    pub(crate) fn new(place: &Place) -> Result<Http> {
        Ok(Http {
            client: client(false)?,
            url: place.url.clone().context("no server")?,
            token: place.token.clone(),
            tails: BTreeMap::new(),
        })
    }

    fn pool_path(&self, request: &Request, more: &str) -> Result<String, Failure> {
        let pool = text(request, "pool")?;
        Ok(format!("/v0/pools/{}{more}", percent_encoded(pool)))
    }

    /// One request and its answer in JSON, or the error that came back.
    fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Value, Value> {
        let text = self.ask_text(method, path, body)?;
        serde_json::from_str(&text).map_err(|_| broken(format!("no JSON: {text:?}")))
    }

    fn ask_text(&self, method: Method, path: &str, body: Option<String>) -> Result<String, Value> {
        let asked = RUNTIME.block_on(async {
            let mut request = self.client.request(method, format!("{}{path}", self.url));
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request
                    .header("content-type", "application/json")
                    .body(body);
            }
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, versioned(&response), response.text().await?))
        });
        let (status, versioned, body) = asked.map_err(|error| broken(format!("{error:?}")))?;
        if !versioned {
            return Err(broken("an answer without `plasmite-version: 0` (HTTP-1)"));
        }
        if status == 200 {
            return Ok(body);
        }
        let value: Value =
            serde_json::from_str(&body).map_err(|_| broken(format!("no JSON: {body:?}")))?;
        Err(json!({"error": value["error"], "code": status}))
    }

    fn do_it(&mut self, request: &Request) -> Result<Value, Value> {
        let path = |more: &str| {
            self.pool_path(request, more)
                .map_err(|failure| answer::of(Err(failure)))
        };
        match text(request, "op").map_err(broken)? {
            "hello" => Ok(json!({"protocol": 1, "name": "plasmite http", "can": []})),
            "reset" | "reopen" => {
                self.tails.clear();
                Ok(json!({}))
            }
            "create" => {
                let mut body = json!({"pool": text(request, "pool").map_err(broken)?});
                for name in ["size_bytes", "index_capacity"] {
                    if let Some(value) = request.get(name) {
                        body[name] = value.clone();
                    }
                }
                let answer = self.ask(Method::POST, "/v0/pools", Some(body.to_string()))?;
                Ok(json!({"info": answer["pool"]}))
            }
            "info" => Ok(json!({"info": self.ask(Method::GET, &path("/info")?, None)?["pool"]})),
            "list" => {
                let answer = self.ask(Method::GET, "/v0/pools", None)?;
                let pools = answer["pools"].as_array().into_iter().flatten();
                Ok(json!({"pools": pools.map(listed).collect::<Vec<_>>()}))
            }
            "delete" => self
                .ask(Method::DELETE, &path("")?, None)
                .map(|_| json!({})),
            "append" => {
                let mut body = format!("{{\"data\":{}", data_text(request).map_err(broken)?);
                body += &format!(",\"tags\":{}", json!(texts(request, "tags")));
                if let Some(durability) = request.get("durability") {
                    body += &format!(",\"durability\":{durability}");
                }
                body += "}";
                let text = self
                    .ask_text(Method::POST, &path("/append")?, Some(body))
                    .map_err(|answer| in_data(answer, "{\"data\":".len()))?;
                let answer = members(&text).unwrap_or_default();
                let message = answer
                    .get("message")
                    .and_then(|message| members(message.get()));
                let Some(message) = message else {
                    return Err(broken(format!("no message: {text:?}")));
                };
                Ok(json!({"receipt": {
                    "seq": value(&message, "seq"),
                    "time": value(&message, "time"),
                    "tags": value(&message, "meta")["tags"],
                    "durability": value(&answer, "durability"),
                }}))
            }
            "append_batch" if !request.contains_key("stamps") => {
                self.append_batch(request, &path("/append_batch")?)
            }
            "get" => {
                let seq = number(request, "seq").unwrap_or_default();
                self.get(&path(&format!("/messages/{seq}"))?)
            }
            _ => Err(answer::unimplemented()),
        }
    }

    fn append_batch(&self, request: &Request, path: &str) -> Result<Value, Value> {
        let messages = request
            .get("messages")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut body = "{\"messages\":[".to_owned();
        let mut starts = Vec::new();
        for message in messages.filter_map(Value::as_object) {
            let comma = if starts.is_empty() { "" } else { "," };
            body += &format!("{comma}{{\"data\":");
            starts.push(body.len());
            body += &data_text(message).map_err(broken)?;
            body += &format!(",\"tags\":{}}}", json!(texts(message, "tags")));
        }
        body += "]";
        if let Some(durability) = request.get("durability") {
            body += &format!(",\"durability\":{durability}");
        }
        body += "}";
        let answer = self.ask(Method::POST, path, Some(body)).map_err(|answer| {
            let at = answer
                .pointer("/error/offset")
                .and_then(Value::as_u64)
                .unwrap_or(0);
            let start = starts.iter().rfind(|start| **start as u64 <= at);
            in_data(answer, start.copied().unwrap_or(0))
        })?;
        let receipts = answer["messages"].as_array().into_iter().flatten().map(|message| {
            json!({"seq": message["seq"], "time": message["time"], "tags": message["meta"]["tags"]})
        });
        Ok(json!({"receipts": receipts.collect::<Vec<_>>(), "durability": answer["durability"]}))
    }

    /// The envelope has to stay the text that it is.
    fn get(&self, path: &str) -> Result<Value, Value> {
        #[derive(serde::Deserialize)]
        struct Got<'a> {
            #[serde(borrow)]
            message: &'a serde_json::value::RawValue,
        }
        let mut step = Map::new();
        step.insert("path".into(), path.into());
        let answer = self
            .exchange(&step)
            .map_err(|error| broken(format!("{error:#}")))?;
        let body = answer["body"].as_str().unwrap_or_default();
        if answer["status"] != 200 {
            let value: Value =
                serde_json::from_str(body).map_err(|_| broken(format!("no JSON: {body:?}")))?;
            return Err(json!({"error": value["error"], "code": answer["status"]}));
        }
        let got: Got<'_> =
            serde_json::from_str(body).map_err(|_| broken(format!("no message: {body:?}")))?;
        Ok(json!({"message": got.message.get()}))
    }

    fn stream(&self, request: &Request, follow: bool) -> Result<Result<Stream, Value>, Failure> {
        let asked = Asked::read(request, follow)?;
        let path = self.pool_path(request, &format!("/tail?{}", query(&asked)))?;
        let mut step = Map::new();
        step.insert("path".into(), path.into());
        let response = self.send(&step)?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = RUNTIME
                .block_on(response.text())
                .map_err(anyhow::Error::from)?;
            let value: Value = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
            return Ok(Err(
                json!({"error": value["error"], "code": status, "items": []}),
            ));
        }
        Ok(Ok(Stream::of(response, Some(asked))))
    }

    fn tail(&self, request: &Request) -> Value {
        match self.stream(request, false) {
            Ok(Ok(mut stream)) => stream.take((usize::MAX, None)),
            Ok(Err(answer)) => answer,
            Err(failure) => answer::of(Err(failure)),
        }
    }

    fn open_tail(&mut self, request: &Request) -> Value {
        match self.stream(request, true) {
            Ok(Ok(stream)) => {
                let name = text(request, "tail").unwrap_or_default();
                self.tails.insert(name.to_owned(), stream);
                answer::ok(json!({}))
            }
            Ok(Err(mut answer)) => {
                // Nothing was delivered before it opened: `items` would say that something might have been.
                answer.as_object_mut().map(|answer| answer.remove("items"));
                answer
            }
            Err(failure) => answer::of(Err(failure)),
        }
    }

    fn send(&self, step: &Request) -> Result<Response> {
        let method = step.get("method").and_then(Value::as_str).unwrap_or("GET");
        let path = text(step, "path")?;
        let two = step.get("version").and_then(Value::as_str) == Some("2");
        let client = if two {
            client(true)?
        } else {
            self.client.clone()
        };
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.url)
        };
        let mut request = client.request(Method::from_bytes(method.as_bytes())?, url);
        let given = step.get("headers").and_then(Value::as_object);
        let has = |name: &str| {
            given.is_some_and(|given| given.keys().any(|key| key.eq_ignore_ascii_case(name)))
        };
        if let Some(token) = self.token.as_ref().filter(|_| !has("authorization")) {
            request = request.bearer_auth(token);
        }
        for (name, value) in given.into_iter().flatten() {
            if let Some(value) = value.as_str() {
                request = request.header(name, value);
            }
        }
        if let Some(body) = body(step)? {
            if !has("content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        Ok(RUNTIME.block_on(request.send())?)
    }

    fn exchange(&self, step: &Request) -> Result<Value> {
        let response = self.send(step)?;
        let mut shown = head(&response);
        let bytes = RUNTIME.block_on(response.bytes())?;
        show_body(&mut shown, &String::from_utf8_lossy(&bytes));
        Ok(shown)
    }

    /// Bytes as they stand, on a connection of their own; the answer is read to its end.
    fn raw(&self, bytes: &str) -> Result<Value> {
        let address = self.url.split_once("://").context("no URL")?.1;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(bytes.as_bytes())?;
        let mut answer = Vec::new();
        // A server that closes with bytes unread resets the connection; what it said before counts.
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse::<u64>().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), Value::from(value.trim())));
        let mut shown = json!({"status": status, "headers": Map::from_iter(headers)});
        show_body(&mut shown, body);
        Ok(shown)
    }

    fn step(&mut self, request: &Request) -> Result<Value> {
        match text(request, "op")? {
            "http" => {
                if let Some(bytes) = request.get("raw").and_then(Value::as_str) {
                    return self.raw(bytes);
                }
                let Some(name) = request.get("as").and_then(Value::as_str) else {
                    return self.exchange(request);
                };
                let response = self.send(request)?;
                let shown = head(&response);
                self.tails
                    .insert(name.to_owned(), Stream::of(response, None));
                Ok(shown)
            }
            "output" => {
                let name = text(request, "from")?;
                let count = number(request, "lines").unwrap_or(1) as usize;
                let stream = self
                    .tails
                    .get_mut(name)
                    .context("there is no such stream")?;
                match stream.lines.take(count, PATIENCE) {
                    Ok(taken) => Ok(json!({"lines": trimmed(&taken), "ended": stream.lines.ended})),
                    Err(taken) => {
                        bail!("waited for {count} lines, came {}: {taken:?}", taken.len())
                    }
                }
            }
            "exit" => {
                let name = text(request, "from")?;
                let stream = self
                    .tails
                    .get_mut(name)
                    .context("there is no such stream")?;
                match stream.lines.take(usize::MAX, PATIENCE) {
                    Ok(taken) => Ok(json!({"lines": trimmed(&taken)})),
                    Err(taken) => bail!("waited for the end of a stream: {taken:?}"),
                }
            }
            "close" => {
                let name = text(request, "tail").or_else(|_| text(request, "from"))?;
                self.tails.remove(name).context("there is no such tail")?;
                Ok(json!({}))
            }
            other => bail!("there is no step {other}"),
        }
    }
}

impl Surface for Http {
    fn call(&mut self, request: &Request) -> Value {
        match text(request, "op").unwrap_or_default() {
            "tail" => self.tail(request),
            "open_tail" => self.open_tail(request),
            "read" => {
                let name = text(request, "tail").unwrap_or_default();
                match self.tails.get_mut(name) {
                    Some(stream) => stream.take(wanted(request)),
                    None => broken(format!("there is no tail {name}")),
                }
            }
            "http" | "output" | "exit" | "close" => match self.step(request) {
                Ok(value) => answer::ok(value),
                Err(error) => broken(format!("{error:#}")),
            },
            _ => match self.do_it(request) {
                Ok(value) => answer::ok(value),
                Err(answer) => answer,
            },
        }
    }

    fn kill(&mut self) {
        self.tails.clear();
    }
}

impl Stream {
    fn of(response: Response, asked: Option<Asked>) -> Stream {
        let (sender, lines) = Lines::new();
        let task = RUNTIME.spawn(async move {
            let mut body = response.bytes_stream();
            let mut line = Vec::new();
            while let Some(Ok(chunk)) = body.next().await {
                for byte in chunk {
                    line.push(byte);
                    if byte == b'\n' && sender.send(std::mem::take(&mut line)).is_err() {
                        return;
                    }
                }
            }
            if !line.is_empty() {
                let _ = sender.send(line);
            }
        });
        Stream {
            lines,
            task,
            asked,
            end: None,
        }
    }

    /// Why it ended. A tail that was not to follow had no time: for it, that is to have caught up.
    fn end(&self) -> &str {
        let follows = self.asked.as_ref().is_none_or(|asked| asked.follow);
        match self.end.as_deref() {
            Some("timeout") if !follows => "caught-up",
            Some(end) => end,
            None => "ended",
        }
    }

    fn take(&mut self, (count, patience): (usize, Option<Duration>)) -> Value {
        let deadline = Instant::now() + patience.unwrap_or(PATIENCE);
        let mut items = Vec::new();
        while items.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.next(left) {
                Ok(Some(line)) => line,
                Ok(None) => {
                    let end = self.end();
                    return answer::ok(json!({"items": items, "end": end}));
                }
                Err(()) if patience.is_some() => break,
                Err(()) => {
                    return broken(format!(
                        "waited for {count} items, came {}: {items:?}",
                        items.len()
                    ));
                }
            };
            let line = line.trim_end_matches('\n');
            let Some(members) = members(line) else {
                return broken(format!("a line that is no JSON: {line:?}"));
            };
            if members.contains_key("error") {
                let error = value(&members, "error");
                // There is no status any more: the code is that of the kind.
                let code = answer::CODES
                    .iter()
                    .find(|(kind, ..)| error["kind"] == *kind)
                    .map(|(_, code, _)| code);
                return json!({"error": error, "code": code, "items": items});
            }
            if members.contains_key("gap") {
                items.push(json!({"gap": value(&members, "gap")}));
            } else if members.contains_key("seq") {
                items.push(json!({"message": line}));
            } else if members.contains_key("end") {
                self.end = value(&members, "end").as_str().map(str::to_owned);
            } else if !members.contains_key("next_seq") {
                return broken(format!("a line that is none of a tail: {line:?}"));
            }
        }
        answer::ok(json!({"items": items}))
    }
}

fn client(two: bool) -> Result<Client> {
    // The URL of a server may be one of TLS only where that server's certificate is the platform's business: not here.
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    );
    let tls = tls.with_safe_default_protocol_versions()?;
    let tls = tls
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = if two {
        builder.http2_prior_knowledge()
    } else {
        builder.http1_only()
    };
    Ok(builder.build()?)
}

fn versioned(response: &Response) -> bool {
    response
        .headers()
        .get("plasmite-version")
        .is_some_and(|version| version == "0")
}

fn head(response: &Response) -> Value {
    let mut headers = Map::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.insert(name.as_str().to_owned(), value.into());
    }
    let version = if response.version() == Version::HTTP_2 {
        "2"
    } else {
        "1.1"
    };
    json!({"status": response.status().as_u16(), "headers": headers, "version": version})
}

fn show_body(shown: &mut Value, body: &str) {
    shown["body"] = body.into();
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        shown["json"] = value;
    }
    shown["lines"] = body.lines().collect::<Vec<_>>().into();
}

fn body(step: &Request) -> Result<Option<Vec<u8>>> {
    if let Some(text) = step.get("body_base64").and_then(Value::as_str) {
        return Ok(Some(
            base64::engine::general_purpose::STANDARD.decode(text)?,
        ));
    }
    Ok(step.get("body").map(|body| match body {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }))
}

/// Data as it goes into a body. What is not UTF-8 cannot be in one that is text.
fn data_text(request: &Request) -> Result<String> {
    Ok(String::from_utf8_lossy(&data(request)?).into_owned())
}

/// An offset in a body as one in the data that begins at `start` there.
fn in_data(mut answer: Value, start: usize) -> Value {
    if answer["error"]["kind"] == "Usage"
        && let Some(offset) = answer.pointer_mut("/error/offset")
    {
        *offset = offset
            .as_u64()
            .map(|offset| offset.saturating_sub(start as u64))
            .into();
    }
    answer
}

fn listed(pool: &Value) -> Value {
    let kept = ["name", "path", "file_size", "bounds", "error"];
    let kept = kept
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), pool.get(name)?.clone())));
    Value::Object(kept.collect())
}

fn query(asked: &Asked) -> String {
    let mut query = vec!["notices=true".to_owned()];
    let mut add =
        |name: &str, value: String| query.push(format!("{name}={}", percent_encoded(&value)));
    match &asked.start {
        Start::Oldest => {}
        Start::Newest => add("last", "0".into()),
        Start::Seq(seq) => add("since_seq", seq.to_string()),
        Start::Last(count) => add("last", count.to_string()),
        Start::Time(time) => add("since", time.clone()),
    }
    if let Some(until) = &asked.until {
        add("until", until.clone());
    }
    if let Some(max) = asked.max {
        add("max", max.to_string());
    }
    // A tail whose time has passed delivers what there is, and then ends (STOP-6): that is what `follow: false` wants.
    match asked.timeout_ms {
        _ if !asked.follow => add("timeout_ms", "0".into()),
        Some(timeout) => add("timeout_ms", timeout.to_string()),
        None => {}
    }
    for tag in &asked.tags {
        add("tag", tag.clone());
    }
    if asked.gap_is_error {
        add("gap_policy", "error".into());
    }
    query.join("&")
}
