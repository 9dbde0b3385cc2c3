//! A server's pools.

use std::borrow::Cow;
use std::path::PathBuf;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client as Http, Method, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::json;

use super::answer::{Appended, Asked, MessageAnswer};
use super::error::ReportedError;
use super::options::RemoteOptions;
use super::reference::{RemoteRef, SUFFIX};
use super::tail::RemoteTail;
use crate::api::{
    Batch, Bounds, CreateOptions, Durability, Message, PoolEntry, PoolInfo, PoolRef, Receipt, Tags,
    TailOptions, Timestamp,
};
use crate::{Error, ErrorKind, Result};

const STORED: &str = "what was sent may have been stored";
const CREATED: &str = "the pool may have been created";
const DELETED: &str = "the pool may have been deleted";

/// The pools of one server. Clones share its connections.
#[derive(Clone, Debug)]
pub struct RemoteClient {
    http: Http,
    base: Url,
    authorization: Option<HeaderValue>,
}

/// One pool of a server. It holds nothing open there.
#[derive(Clone, Debug)]
pub struct RemotePool {
    client: RemoteClient,
    name: String,
    /// The name as it is sent.
    sent: String,
}

impl RemoteClient {
    /// A client for the server that `reference` names. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// `Usage`, `NotFound`, `Permission` or `Io` if the file of certificates cannot be used.
    pub fn new(reference: &RemoteRef, options: &RemoteOptions) -> Result<RemoteClient> {
        Ok(RemoteClient {
            http: options.connect(reference.base())?,
            base: reference.base().clone(),
            authorization: options.token.as_ref().and_then(|token| token.header()),
        })
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        self.base.as_str()
    }

    /// The pool of this name, whether or not it is there.
    ///
    /// # Errors
    ///
    /// `Usage` for a name that no pool can have.
    pub fn pool(&self, name: &str) -> Result<RemotePool> {
        PoolRef::named(name)?;
        Ok(RemotePool {
            client: self.clone(),
            name: name.to_owned(),
            sent: sent(name).into_owned(),
        })
    }

    /// The pool that `reference` names, whether or not it is there.
    ///
    /// # Errors
    ///
    /// `Usage` if it names a server and no pool.
    pub fn pool_of(&self, reference: &RemoteRef) -> Result<RemotePool> {
        match reference.pool() {
            Some(name) => self.pool(name),
            None => Err(Error::new(
                ErrorKind::Usage,
                format!("`{reference}` names a server and no pool"),
            )
            .hint(format!(
                "put the pool's name behind it, as in {}chat",
                self.base
            ))),
        }
    }

    /// Makes a pool.
    ///
    /// # Errors
    ///
    /// As [`Client::create_pool`](crate::Client::create_pool), and as [`RemotePool::info`].
    pub async fn create_pool(&self, name: &str, options: CreateOptions) -> Result<PoolInfo> {
        PoolRef::named(name)?;
        let body = json!({
            "pool": sent(name),
            "size_bytes": options.size_bytes,
            "index_capacity": options.index_capacity,
        });
        let asked = self.asked(Some(CREATED));
        let request = self.post(&["v0", "pools"], body.to_string().into_bytes());
        let answer = asked.whole(request).await?;
        Ok(asked.parse::<PoolAnswer>(&answer)?.pool)
    }

    /// All pools that may be read, by name. One that cannot be read is listed with the reason.
    ///
    /// # Errors
    ///
    /// As [`RemotePool::info`].
    pub async fn list_pools(&self) -> Result<Vec<PoolEntry>> {
        let asked = self.asked(None);
        let answer = asked
            .whole(self.request(Method::GET, &["v0", "pools"]))
            .await?;
        let list: List = asked.parse(&answer)?;
        Ok(list.pools.into_iter().map(Listed::into_entry).collect())
    }

    pub(super) fn asked(&self, effect: Option<&'static str>) -> Asked<'_> {
        Asked {
            server: &self.base,
            effect,
        }
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.authorized(self.http.request(method, self.url(path)))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn post(&self, path: &[&str], body: Vec<u8>) -> RequestBuilder {
        self.request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }
}

impl RemotePool {
    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pool's URL.
    pub fn url(&self) -> String {
        self.client.url(&self.path(&[])).into()
    }

    /// What there is to know about the pool.
    ///
    /// # Errors
    ///
    /// As [`Pool::info`](crate::Pool::info); `Permission` if the credential does not allow it; `Busy` if the server has
    /// too much to do; `Io` if it cannot be reached or answers anything that the protocol does not know.
    pub async fn info(&self) -> Result<PoolInfo> {
        let asked = self.client.asked(None);
        let answer = asked.whole(self.request(Method::GET, &["info"])).await?;
        Ok(asked.parse::<PoolAnswer>(&answer)?.pool)
    }

    /// Deletes the pool.
    ///
    /// # Errors
    ///
    /// As [`Client::delete_pool`](crate::Client::delete_pool), and as [`info`](RemotePool::info).
    pub async fn delete(&self) -> Result<()> {
        let asked = self.client.asked(Some(DELETED));
        asked.whole(self.request(Method::DELETE, &[])).await?;
        Ok(())
    }

    /// Appends one message whose data is this JSON text.
    ///
    /// # Errors
    ///
    /// As [`append_batch`](RemotePool::append_batch), and `Usage` if `data` is not JSON.
    pub async fn append_json(
        &self,
        data: &[u8],
        tags: &Tags,
        durability: Durability,
    ) -> Result<Receipt> {
        let mut batch = Batch::new();
        batch.push_json(data, tags)?;
        self.append_batch(&batch, durability).await
    }

    /// Appends all messages of the batch, or none.
    ///
    /// # Errors
    ///
    /// As [`Pool::append_batch`](crate::Pool::append_batch), and as [`info`](RemotePool::info). `Io` says so where the
    /// messages may have been stored all the same; [`was_not_taken`](super::was_not_taken) tells where they cannot have
    /// been. [REMOTE-7] [REMOTE-8]
    pub async fn append_batch(&self, batch: &Batch, durability: Durability) -> Result<Receipt> {
        let asked = self.client.asked(Some(STORED));
        let (route, body) = append_body(batch, durability);
        let request = self.client.post(&["v0", "pools", &self.sent, route], body);
        let answer = asked.whole(request).await?;
        let appended: Appended = asked.parse(&answer)?;
        let stamps = appended.message.as_slice().iter().chain(&appended.messages);
        let (first, last) = match (stamps.clone().next(), stamps.clone().last()) {
            (Some(first), Some(last)) if stamps.count() == batch.len() => (*first, *last),
            _ => return Err(asked.not_understood()),
        };
        Ok(Receipt {
            first_seq: first.seq,
            last_seq: last.seq,
            time: last.time,
            durability: appended
                .durability
                .parse()
                .map_err(|_| asked.not_understood())?,
        })
    }

    /// The message with this seq.
    ///
    /// # Errors
    ///
    /// As [`Pool::get`](crate::Pool::get), and as [`info`](RemotePool::info).
    pub async fn get(&self, seq: u64) -> Result<Message> {
        let asked = self.client.asked(None);
        let answer = asked
            .whole(self.request(Method::GET, &["messages", &seq.to_string()]))
            .await?;
        let MessageAnswer { message: envelope } = asked.parse(&answer)?;
        let mut message = Message::default();
        message.set_envelope(
            envelope.seq,
            envelope.time,
            envelope.meta.tags.get(),
            envelope.data.get(),
        );
        Ok(message)
    }

    /// Follows the pool, from where the options say. The tail reconnects by itself.
    ///
    /// # Errors
    ///
    /// As [`info`](RemotePool::info), and `RetentionGap` as [`Tail::read`](crate::Tail::read).
    pub async fn tail(&self, options: TailOptions) -> Result<RemoteTail> {
        RemoteTail::open(self.clone(), options).await
    }

    pub(super) fn client(&self) -> &RemoteClient {
        &self.client
    }

    /// A `GET` with these parameters.
    pub(super) fn query(&self, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.client.url(&self.path(path));
        url.query_pairs_mut().extend_pairs(query);
        self.client.authorized(self.client.http.get(url))
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.client.request(method, &self.path(path))
    }

    fn path<'a>(&'a self, path: &[&'a str]) -> Vec<&'a str> {
        let mut whole = vec!["v0", "pools", &self.sent];
        whole.extend_from_slice(path);
        whole
    }
}

/// The route that appends so many messages, and the body for it. Tags and data go as the text that they are.
fn append_body(batch: &Batch, durability: Durability) -> (&'static str, Vec<u8>) {
    let mut body = Vec::with_capacity(batch.text_bytes() + batch.len() * 24 + 64);
    let is_one = batch.len() == 1;
    if !is_one {
        body.extend_from_slice(b"{\"messages\":[");
    }
    for (at, (tags, data)) in batch.texts().enumerate() {
        let begin: &[u8] = if at == 0 {
            b"{\"data\":"
        } else {
            b",{\"data\":"
        };
        for part in [begin, data.as_bytes(), b",\"tags\":", tags.as_bytes()] {
            body.extend_from_slice(part);
        }
        if !is_one {
            body.push(b'}');
        }
    }
    if !is_one {
        body.push(b']');
    }
    body.extend_from_slice(format!(",\"durability\":\"{}\"}}", durability.name()).as_bytes());
    (if is_one { "append" } else { "append_batch" }, body)
}

#[derive(Deserialize)]
struct PoolAnswer {
    pool: PoolInfo,
}

#[derive(Deserialize)]
struct List {
    pools: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    path: PathBuf,
    file_size: u64,
    mtime: Option<Timestamp>,
    #[serde(default)]
    bounds: Bounds,
    metrics: Option<ListedMetrics>,
    created: Option<Timestamp>,
    error: Option<ReportedError>,
}

#[derive(Deserialize)]
struct ListedMetrics {
    age: ListedAge,
}

#[derive(Deserialize)]
struct ListedAge {
    newest_time: Option<Timestamp>,
}

impl Listed {
    fn into_entry(self) -> PoolEntry {
        let newest = self.metrics.and_then(|metrics| metrics.age.newest_time);
        let unknown = || {
            Error::new(ErrorKind::Io, "the pool cannot be read").hint("look at the server's log")
        };
        PoolEntry {
            name: self.name,
            path: self.path,
            file_size: self.file_size,
            // A server that does not tell: what is newest in the pool was the last to change it.
            mtime: self.mtime.or(newest).or(self.created).unwrap_or_default(),
            bounds: match self.error {
                Some(error) => Err(error.into_error().unwrap_or_else(unknown)),
                None => Ok(self.bounds),
            },
        }
    }
}

/// A name as it is sent: a server takes one suffix off [POOL-1], and of a name that ends in it must not take its own.
fn sent(name: &str) -> Cow<'_, str> {
    match name.ends_with(SUFFIX) {
        true => format!("{name}{SUFFIX}").into(),
        false => name.into(),
    }
}
