//! The flags that say how servers are reached, and pools that may be on one.

#[cfg(not(feature = "remote"))]
pub(super) use off::Flags;
#[cfg(feature = "remote")]
pub(super) use on::{Flags, RemoteRef, client};

#[cfg(feature = "remote")]
mod on {
    use std::path::PathBuf;

    use clap::Args;
    use serde::Serialize;

    pub(crate) use crate::remote::RemoteRef;

    use crate::cli::output;
    use crate::core::error::Result;
    use crate::remote::blocking::RemoteClient;
    use crate::remote::{RemoteOptions, Token};

    /// How to reach a server, for pools that are given as URLs.
    #[derive(Clone, Debug, Args)]
    pub(crate) struct Flags {
        /// File whose first line is the server's token [env: PLASMITE_TOKEN_FILE]
        #[arg(
            long,
            value_name = "FILE",
            conflicts_with = "token",
            help_heading = "Pools on a server"
        )]
        token_file: Option<PathBuf>,
        /// The token itself; others on this machine can see it
        #[arg(long, value_name = "TOKEN", help_heading = "Pools on a server")]
        token: Option<String>,
        /// PEM file of certificates to trust as well
        #[arg(long, value_name = "FILE", help_heading = "Pools on a server")]
        tls_ca: Option<PathBuf>,
        /// Trust any certificate, which is unsafe
        #[arg(long, help_heading = "Pools on a server")]
        tls_skip_verify: bool,
    }

    impl Flags {
        fn options(&self) -> Result<RemoteOptions> {
            let of_environment = || {
                std::env::var_os("PLASMITE_TOKEN_FILE")
                    .filter(|file| !file.is_empty())
                    .map(PathBuf::from)
            };
            let token = match &self.token {
                Some(token) => Some(Token::new(token)?),
                None => {
                    let file = self.token_file.clone().or_else(of_environment);
                    file.as_deref().map(Token::from_file).transpose()?
                }
            };
            Ok(RemoteOptions {
                token,
                tls_ca: self.tls_ca.clone(),
                danger_skip_verify: self.tls_skip_verify,
            })
        }
    }

    /// A client for the server that was named. Says so if it will believe anybody. [REMOTE-11]
    pub(crate) fn client(flags: &Flags, reference: &RemoteRef) -> Result<RemoteClient> {
        let options = flags.options()?;
        if options.danger_skip_verify {
            let text = "certificates are not checked, which is unsafe: whoever is in between can read and change everything";
            output::notice(
                text,
                &Notice {
                    notice: Unsafe {
                        kind: "unsafe",
                        message: text,
                    },
                },
            );
        }
        RemoteClient::new(reference, &options)
    }

    #[derive(Serialize)]
    struct Notice {
        notice: Unsafe,
    }

    #[derive(Serialize)]
    struct Unsafe {
        kind: &'static str,
        message: &'static str,
    }
}

#[cfg(not(feature = "remote"))]
mod off {
    use clap::Args;

    /// No flags, since no servers.
    #[derive(Clone, Debug, Args)]
    pub(crate) struct Flags {}
}
