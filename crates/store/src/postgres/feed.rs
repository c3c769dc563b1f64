//! The change feed on PostgreSQL: in order, skipping nothing, without holding writers back.
//!
//! A number drawn from a sequence can commit after a higher one. Writers therefore hold a *shared* advisory lock from
//! before they draw their numbers until their transaction ends (`feed_append`). A reader that meets a gap notes which
//! transactions hold the lock then: whoever could still fill the gap is among them. Once those are over and the number is
//! still not there, it never will be. PostgreSQL makes a commit visible before it releases the transaction's locks, which
//! is what the argument rests on. Invariant: nothing behind an open gap is given out.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::{Change, ChangeSeq, NewChange};
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Pools, Shared};
use crate::error::Result;
use crate::port::ChangePage;
use crate::sql::changes::change_of;
use crate::sql::types::Cells;

/// The channel on which replicas tell each other that there may be more.
const CHANNEL: &str = "tenant_registry_changes";
/// How many looks wait at once; what lies behind the last of them is looked at once the first are over.
const LOOKS_MAX: usize = 64;

/// How many changes one statement writes.
const CHUNK: usize = 5_000;

/// Appends changes as the last statements before the commit: the first takes the lock, which the transaction keeps.
pub(super) async fn append(conn: &mut sqlx::PgConnection, changes: &[NewChange]) -> Result<()> {
    for chunk in changes.chunks(CHUNK) {
        let kinds: Vec<&str> = chunk.iter().map(|change| change.kind.as_str()).collect();
        let ops: Vec<&str> = chunk.iter().map(|change| change.op.as_str()).collect();
        let tenants: Vec<Option<Uuid>> = chunk.iter().map(|change| change.tenant_id.map(|id| id.0)).collect();
        let entities: Vec<&str> = chunk.iter().map(|change| change.id.as_str()).collect();
        let values: Vec<Option<&str>> = chunk.iter().map(|change| change.value.as_deref()).collect();
        sqlx::query("SELECT feed_append($1, $2, $3, $4, $5)")
            .bind(kinds)
            .bind(ops)
            .bind(tenants)
            .bind(entities)
            .bind(values)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// What this process knows about gaps; shared by everybody who reads the feed through this store.
#[derive(Debug, Default)]
pub(super) struct Reader {
    gaps: Mutex<Gaps>,
}

/// A transaction that holds the feed's lock.
type Holder = String;

#[derive(Debug, Default)]
struct Gaps {
    /// The server that all this is about: another one may have lost the newest numbers, and give them out again.
    server: Weak<Pools>,
    /// A number up to here that a later look does not find will never come.
    settled: i64,
    /// What may still be filled, lower tops first.
    looks: VecDeque<Look>,
}

/// A look at the feed that met a gap.
#[derive(Debug)]
struct Look {
    /// The highest number that it saw: the lower ones had all been drawn by then.
    top: i64,
    /// Who could still fill a gap below.
    suspects: HashSet<Holder>,
}

impl Reader {
    pub(super) async fn changes(&self, pools: &Arc<Pools>, after: ChangeSeq, limit: usize) -> Result<ChangePage> {
        let limit = limit.clamp(1, 100_000);
        let pool = &pools.feed;
        // Each further round begins with more numbers settled than the one before, so this ends; two are the rule.
        loop {
            // Before the look: what was settled after it says nothing about what it could not see.
            let settled = self.gaps.lock().await.of(pools).settled;
            let changes = read(pool, after.0, limit).await?;
            let Some((gap, top)) = first_gap(after.0.max(settled), &changes) else {
                let complete = changes.len() < limit;
                return Ok(ChangePage { complete, changes, server: pools.generation });
            };
            // Locked while the holders are asked for: an answer that is older than another's look must not end that.
            let mut gaps = self.gaps.lock().await;
            let holders = holders(pool).await?;
            if gaps.of(pools).settle(top, holders) < gap {
                return Ok(up_to(changes, gap, pools.generation));
            }
        }
    }
}

impl Gaps {
    /// Forgets everything when the server is another one.
    fn of(&mut self, pools: &Arc<Pools>) -> &mut Self {
        if !std::ptr::eq(self.server.as_ptr(), Arc::as_ptr(pools)) {
            *self = Self { server: Arc::downgrade(pools), ..Self::default() };
        }
        self
    }

    /// Ends the looks whose suspects are all over, and notes this one when it reaches further than the others.
    fn settle(&mut self, top: i64, holders: HashSet<Holder>) -> i64 {
        for look in &self.looks {
            if look.suspects.is_disjoint(&holders) {
                self.settled = self.settled.max(look.top);
            }
        }
        if holders.is_empty() {
            self.settled = self.settled.max(top);
        }
        let settled = self.settled;
        self.looks.retain(|look| look.top > settled);
        let noted = self.looks.back().map_or(settled, |look| look.top);
        if top > noted && self.looks.len() < LOOKS_MAX {
            self.looks.push_back(Look { top, suspects: holders });
        }
        settled
    }
}

/// The first number above `known` that is missing below the highest of these, and that highest.
fn first_gap(known: i64, changes: &[Change]) -> Option<(i64, i64)> {
    let mut expected = known + 1;
    for change in changes.iter().filter(|change| change.seq.0 > known) {
        if change.seq.0 > expected {
            return changes.last().map(|last| (expected, last.seq.0));
        }
        expected = change.seq.0 + 1;
    }
    None
}

fn up_to(mut changes: Vec<Change>, gap: i64, server: u64) -> ChangePage {
    changes.retain(|change| change.seq.0 < gap);
    ChangePage { changes, complete: false, server }
}

async fn read(pool: &PgPool, after: i64, limit: usize) -> Result<Vec<Change>> {
    const SQL: &str =
        "SELECT seq, kind, op, tenant_id, entity_id, value FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sqlx::query(SQL).bind(after).bind(limit).fetch_all(pool).await?.iter().map(change_of).collect()
}

/// A place up to which everything is settled: the highest number there is, once every transaction that held the lock
/// after it was read is over, since one of them may have drawn a lower number and not yet committed it.
pub(super) async fn head(pool: &PgPool) -> Result<ChangeSeq> {
    let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS head FROM changes").fetch_one(pool).await?;
    let head = ChangeSeq(row.cell("head")?);
    let suspects = holders(pool).await?;
    let mut current = suspects.clone();
    while !suspects.is_disjoint(&current) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        current = holders(pool).await?;
    }
    Ok(head)
}

/// The transactions that hold the feed's lock now. Two keys make `objsubid` 2; locks are per database.
async fn holders(pool: &PgPool) -> Result<HashSet<Holder>> {
    const SQL: &str = "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND granted \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
        AND classid = 1953653104 AND objid = 1 AND objsubid = 2";
    sqlx::query(SQL).fetch_all(pool).await?.iter().map(|row| row.cell("virtualtransaction")).collect()
}

/// The shortest time between two messages to the other replicas.
const BREATH: Duration = Duration::from_millis(5);

/// Tells the other replicas of commits: one task, after the commit, so that a burst is one message and no writer waits
/// for the queue's lock.
pub(super) async fn tell_commits(shared: Arc<Shared>) {
    const SQL: &str = "SELECT pg_notify($1, '')";
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.tell.notified() => {}
        }
        let pool = shared.pools.load().feed.clone();
        if let Err(error) = sqlx::query(SQL).bind(CHANNEL).execute(&pool).await {
            // Nothing is lost: followers also ask now and then.
            tracing::debug!(%error, "could not tell other replicas of a change");
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// Hears of the commits of other replicas, and wakes who waits.
pub(super) async fn hear_commits(shared: Arc<Shared>) {
    loop {
        let pools = shared.pools.load_full();
        tokio::select! {
            () = shared.stop.cancelled() => return,
            outcome = hear(&shared, &pools.feed) => if let Err(error) = outcome {
                tracing::debug!(%error, "the ear for changes of other replicas is being replaced");
            },
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

async fn hear(shared: &Shared, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // A lost connection is `None`: something may have been missed, so that is a wake as well.
        let heard = listener.try_recv().await?;
        shared.wake.send_modify(|told| *told += 1);
        if heard.is_none() {
            return Ok(());
        }
    }
}
