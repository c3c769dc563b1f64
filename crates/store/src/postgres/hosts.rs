//! Several hosts in one connection string, and the one of them that can be written to.
//!
//! libpq calls it `target_session_attrs=read-write`; sqlx has no such thing, so the hosts are asked in order. Invariant:
//! a switch replaces the pools whole, so that no transaction begins on the old host afterwards.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, Row};

use super::{Pools, Shared};
use crate::error::{Result, StoreError};

/// How long one host may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the current host is asked whether it is still the writable one.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The hosts of a connection string.
#[derive(Debug, Clone)]
pub struct Hosts(Vec<PgConnectOptions>);

impl Hosts {
    /// Reads `postgres://user:password@host1:5432,host2/database?options`.
    ///
    /// # Errors
    /// Says what is wrong, without the text itself, since that holds a password.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| StoreError::Other(format!("DATABASE_URL: {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no ://"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let options = hosts
            .split(',')
            .map(|host| {
                PgConnectOptions::from_str(&format!("{scheme}://{user}{at}{host}{tail}"))
                    .map_err(|_| wrong("is not a PostgreSQL connection string"))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self(options))
    }

    /// How many hosts there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How to connect to one of them.
    pub(crate) fn options(&self, host: usize) -> PgConnectOptions {
        self.0.get(host).or_else(|| self.0.first()).cloned().unwrap_or_default()
    }

    /// The first host that can be written to.
    ///
    /// # Errors
    /// `Unavailable`, with what each host said.
    pub async fn writable(&self) -> Result<usize> {
        let mut reasons = Vec::new();
        for (place, options) in self.0.iter().enumerate() {
            match tokio::time::timeout(PROBE_TIMEOUT, is_writable(options)).await {
                Ok(Ok(true)) => return Ok(place),
                Ok(Ok(false)) => reasons.push(format!("{}: read-only", name(options))),
                Ok(Err(error)) => reasons.push(format!("{}: {error}", name(options))),
                Err(_) => reasons.push(format!("{}: no answer in {PROBE_TIMEOUT:?}", name(options))),
            }
        }
        Err(StoreError::Unavailable(format!("no writable PostgreSQL host: {}", reasons.join("; "))))
    }
}

fn name(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

async fn is_writable(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut conn = options.connect().await?;
    let row = sqlx::query("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'")
        .fetch_one(&mut conn)
        .await?;
    let writable = row.try_get(0)?;
    conn.close().await?;
    Ok(writable)
}

/// Follows the writable host: asked once a second, and at once when a call found its host unavailable.
pub(super) async fn follow_writable(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.suspect.notified() => {}
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
        let current = shared.pools.load_full();
        let options = shared.hosts.options(current.host);
        if matches!(tokio::time::timeout(PROBE_TIMEOUT, is_writable(&options)).await, Ok(Ok(true))) {
            continue;
        }
        match shared.hosts.writable().await {
            Ok(host) if host != current.host => {
                tracing::warn!(host = name(&shared.hosts.options(host)), "the writable database host moved");
                let fresh = Pools::new(&shared.settings, &shared.hosts, host, current.generation + 1);
                let old = shared.pools.swap(Arc::new(fresh));
                // Closing waits for transactions in flight, which fail soon enough by themselves.
                tokio::spawn(async move { old.close().await });
                shared.wake.send_modify(|told| *told += 1);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "no database host can be written to"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &[&str]) {
        let found: Vec<String> = Hosts::parse(url).unwrap().0.iter().map(name).collect();
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn one_string_names_one_or_several_hosts() {
        check("postgres://u:p@db/registry", &["db:5432"]);
        check("postgres://u:p@db1,db2:5433/registry?sslmode=require", &["db1:5432", "db2:5433"]);
        check("postgresql://u:p%40x@[::1]:6000,db2/registry", &["[::1]:6000", "db2:5432"]);
        check("postgres://db1,db2", &["db1:5432", "db2:5432"]);
    }

    #[test]
    fn a_wrong_string_is_refused_without_being_repeated() {
        for url in ["secret", "postgres://u:secret@db:notaport/x"] {
            let error = Hosts::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
