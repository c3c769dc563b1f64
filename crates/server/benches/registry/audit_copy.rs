//! COPY as the peer of publishing by the thousand: the very rows that the registry stored, over and over.
//!
//! COPY FROM is refused where row security applies, so this works as the superuser. Invariant: of the rows only the ids
//! and the time at which they were received differ from one COPY to the next, as in what the registry writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use domain::Clock as _;
use futures_util::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection};

use crate::issuer::RealClock;
use crate::{Outcome, audit};

/// As long as every id and every time that is put into the rows.
const ID: &str = "00000000-0000-7000-8000-000000000000";
const TIME: &str = "2026-11-21T00:00:00.000000Z";

/// Rows in COPY's text format, with the places of what differs.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    text: Vec<u8>,
    ids: Vec<usize>,
    times: Vec<usize>,
}

impl Rows {
    /// The newest rows of the log.
    pub(crate) async fn newest(url: &str, count: usize) -> Outcome<Self> {
        const SQL: &str = "COPY (SELECT * FROM audit_events ORDER BY received DESC, id DESC LIMIT 1000) TO STDOUT";
        let mut connection = PgConnection::connect(url).await?;
        let columns = audit::columns(&mut connection).await?;
        let stored: Vec<u8> = connection.copy_out_raw(SQL).await?.map_ok(|bytes| bytes.to_vec()).try_concat().await?;
        connection.close().await?;
        let mut rows = Self { text: Vec::new(), ids: Vec::new(), times: Vec::new() };
        for line in std::str::from_utf8(&stored)?.lines() {
            for (place, (value, (name, _))) in line.split('\t').zip(&columns).enumerate() {
                rows.text.extend_from_slice(if place == 0 { b"" } else { b"\t" });
                let value = match name.as_str() {
                    "id" => {
                        rows.ids.push(rows.text.len());
                        ID
                    }
                    "received" => {
                        rows.times.push(rows.text.len());
                        TIME
                    }
                    _ => value,
                };
                rows.text.extend_from_slice(value.as_bytes());
            }
            rows.text.push(b'\n');
        }
        if rows.ids.len() == count && rows.times.len() == count {
            Ok(rows)
        } else {
            Err(format!("{} rows with ids, {} with times", rows.ids.len(), rows.times.len()).into())
        }
    }

    /// Makes them another batch, received now.
    fn renew(&mut self, batch: u32) {
        let now = format!("{:.6}", RealClock.now());
        for (row, (id, time)) in self.ids.iter().zip(&self.times).enumerate() {
            let fresh = format!("{batch:08x}-0000-7000-8000-{row:012x}");
            self.text[*id..id + ID.len()].copy_from_slice(fresh.as_bytes());
            self.text[*time..time + TIME.len()].copy_from_slice(now.as_bytes());
        }
    }
}

/// Batches that no two runs of this process share.
static BATCH: AtomicU32 = AtomicU32::new(1);

/// Events per second of so many clients, each of which copies one batch after the other.
pub(crate) async fn run(url: &str, rows: &Rows, clients: usize, length: Duration) -> Outcome<f64> {
    let url: Arc<str> = Arc::from(url);
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(PgConnection::connect(&url).await?);
    }
    let began = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::spawn(copy_until(connection, rows.clone(), began + length)))
        .collect();
    let mut events = 0;
    for task in tasks {
        events += task.await??;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

async fn copy_until(mut connection: PgConnection, mut rows: Rows, end: Instant) -> Outcome<u64> {
    let mut events = 0;
    while Instant::now() < end {
        rows.renew(BATCH.fetch_add(1, Ordering::Relaxed));
        let mut copy = connection.copy_in_raw("COPY audit_events FROM STDIN").await?;
        copy.send(rows.text.as_slice()).await?;
        events += copy.finish().await?;
    }
    connection.close().await?;
    Ok(events)
}
