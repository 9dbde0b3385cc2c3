//! `plasmite::remote`, in this process.

use std::collections::BTreeMap;

use anyhow::Context;
use plasmite::Tags;
use plasmite::remote::blocking::{RemoteClient, RemotePool, RemoteTail};
use plasmite::remote::{RemoteOptions, RemoteRef, Token};
use serde_json::{Value, json};

use super::answer::{self, Failure};
use super::api::{
    batch, batch_answer, create_options, durability, entry, envelope, json, options, receipt_of,
    take,
};
use super::tail::Asked;
use super::{Request, Surface, data, number, percent_encoded, text, texts, wanted};

pub(crate) struct ApiRemote {
    url: String,
    client: RemoteClient,
    tails: BTreeMap<String, RemoteTail>,
}

impl ApiRemote {
    pub(crate) fn new(url: &str, token: Option<&str>) -> anyhow::Result<ApiRemote> {
        let options = RemoteOptions {
            token: token.map(Token::new).transpose()?,
            ..RemoteOptions::default()
        };
        Ok(ApiRemote {
            url: url.trim_end_matches('/').to_owned(),
            client: RemoteClient::new(&RemoteRef::parse(url)?, &options)?,
            tails: BTreeMap::new(),
        })
    }

    /// A request's pool is a reference; here, the last part of a URL.
    fn pool(&self, request: &Request) -> Result<RemotePool, Failure> {
        let name = percent_encoded(text(request, "pool")?);
        let reference = RemoteRef::parse(&format!("{}/{name}", self.url))?;
        Ok(self.client.pool_of(&reference)?)
    }

    fn do_it(&mut self, request: &Request) -> Result<Value, Failure> {
        match text(request, "op")? {
            "hello" => Ok(json!({"protocol": 1, "name": "plasmite api-remote", "can": []})),
            "reset" | "reopen" => {
                self.tails.clear();
                Ok(json!({}))
            }
            "create" => {
                let info = self
                    .client
                    .create_pool(self.pool(request)?.name(), create_options(request))?;
                Ok(json!({"info": json(&info)?}))
            }
            "info" => Ok(json!({"info": json(&self.pool(request)?.info()?)?})),
            "list" => {
                let entries = self.client.list_pools()?;
                Ok(json!({"pools": entries.iter().map(entry).collect::<Vec<_>>()}))
            }
            "delete" => {
                self.pool(request)?.delete()?;
                Ok(json!({}))
            }
            "append" => {
                let tags = Tags::new(texts(request, "tags"));
                let pool = self.pool(request)?;
                let receipt = pool.append_json(&data(request)?, &tags, durability(request)?)?;
                Ok(json!({"receipt": receipt_of(&receipt, &tags)}))
            }
            "append_batch" if !request.contains_key("stamps") => {
                let (batch, tags) = batch(request)?;
                let receipt = self
                    .pool(request)?
                    .append_batch(&batch, durability(request)?)?;
                Ok(batch_answer(&receipt, &tags))
            }
            "get" => {
                let seq = number(request, "seq").context("no seq")?;
                Ok(json!({"message": envelope(&self.pool(request)?.get(seq)?)}))
            }
            "open_tail" => {
                let options = options(&Asked::read(request, true)?)?;
                let tail = self.pool(request)?.tail(options)?;
                self.tails.insert(text(request, "tail")?.to_owned(), tail);
                Ok(json!({}))
            }
            "close" => {
                let tail = self.tails.remove(text(request, "tail")?);
                tail.context("there is no such tail")?.canceller().cancel();
                Ok(json!({}))
            }
            _ => Err(Failure::Unimplemented),
        }
    }

    fn tail(&mut self, request: &Request) -> Value {
        let opened = (|| -> Result<RemoteTail, Failure> {
            let options = options(&Asked::read(request, false)?)?;
            Ok(self.pool(request)?.tail(options)?)
        })();
        match opened {
            Ok(mut tail) => take(
                &mut |deadline, into| tail.read_before(deadline, into),
                (usize::MAX, None),
            ),
            Err(failure) => answer::of(Err(failure)),
        }
    }

    fn read(&mut self, request: &Request) -> Value {
        let tail = text(request, "tail")
            .ok()
            .and_then(|name| self.tails.get_mut(name));
        let Some(tail) = tail else {
            return answer::broken("there is no such tail");
        };
        take(
            &mut |deadline, into| tail.read_before(deadline, into),
            wanted(request),
        )
    }
}

impl Surface for ApiRemote {
    fn call(&mut self, request: &Request) -> Value {
        match text(request, "op") {
            Ok("tail") => self.tail(request),
            Ok("read") => self.read(request),
            _ => answer::of(self.do_it(request)),
        }
    }

    fn kill(&mut self) {
        self.tails.clear();
    }
}
