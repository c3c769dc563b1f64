//! The change feed on PostgreSQL: in order, skipping nothing, without holding writers back.
//!
//! A number drawn from a sequence can commit after a higher one. Writers therefore hold a *shared* advisory lock from
//! before they draw their numbers until their transaction ends (`feed_append`). A reader that meets a gap notes which
//! transactions hold the lock then: whoever could still fill the gap is among them. Once those are over and the number is
//! still not there, it never will be. PostgreSQL makes a commit visible before it releases the transaction's locks, which
//! is what the argument rests on. Invariant: nothing behind an open gap is given out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::{Change, ChangeSeq, NewChange};
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::Shared;
use crate::error::Result;
use crate::port::ChangePage;
use crate::sql::changes::change_of;
use crate::sql::types::Cells;

/// The channel on which replicas tell each other that there may be more.
const CHANNEL: &str = "tenant_registry_changes";
/// How many gaps are remembered as dead: each costs a question again when it is forgotten.
const DEAD_MAX: usize = 65_536;
/// How many missing numbers one call looks into; a crash of the server loses at most 32 in a row.
const MISSING_MAX: usize = 4_096;

/// Appends changes as the last statement before the commit.
pub(super) async fn append(conn: &mut sqlx::PgConnection, changes: &[NewChange]) -> Result<()> {
    let kinds: Vec<&str> = changes.iter().map(|change| change.kind.as_str()).collect();
    let ops: Vec<&str> = changes.iter().map(|change| change.op.as_str()).collect();
    let tenants: Vec<Option<Uuid>> = changes.iter().map(|change| change.tenant_id.map(|id| id.0)).collect();
    let entities: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    let values: Vec<Option<&str>> = changes.iter().map(|change| change.value.as_deref()).collect();
    sqlx::query("SELECT feed_append($1, $2, $3, $4, $5)")
        .bind(kinds)
        .bind(ops)
        .bind(tenants)
        .bind(entities)
        .bind(values)
        .execute(conn)
        .await?;
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
    /// Numbers that will never come.
    dead: std::collections::BTreeSet<i64>,
    /// Numbers that are missing, and who may still fill them.
    open: BTreeMap<i64, Arc<HashSet<Holder>>>,
}

impl Reader {
    pub(super) async fn changes(&self, pool: &PgPool, after: ChangeSeq, limit: usize) -> Result<ChangePage> {
        let limit = limit.clamp(1, 100_000);
        // Numbers are found dead at most once, so this ends; two rounds are the rule.
        loop {
            let changes = read(pool, after.0, limit).await?;
            let mut gaps = self.gaps.lock().await;
            let missing = gaps.missing(after.0, &changes);
            if missing.is_empty() {
                return Ok(ChangePage { complete: changes.len() < limit, changes });
            }
            let holders = Arc::new(holders(pool).await?);
            let finished = gaps.note(&missing, &holders);
            if finished.is_empty() {
                return Ok(up_to(changes, missing[0]));
            }
            // They were missing before their last possible writer ended. Only a look from after that end counts.
            let late = present(pool, &finished).await?;
            gaps.bury(&finished, &late);
        }
    }
}

impl Gaps {
    /// The numbers between `after` and the last change that are neither there nor known to be dead.
    fn missing(&self, after: i64, changes: &[Change]) -> Vec<i64> {
        let mut missing = Vec::new();
        let mut expected = after + 1;
        for change in changes {
            for number in expected..change.seq.0 {
                if !self.dead.contains(&number) {
                    missing.push(number);
                    if missing.len() == MISSING_MAX {
                        return missing;
                    }
                }
            }
            expected = change.seq.0 + 1;
        }
        missing
    }

    /// Notes who may still fill these numbers; gives those that nobody can fill any more.
    fn note(&mut self, missing: &[i64], holders: &Arc<HashSet<Holder>>) -> Vec<i64> {
        let mut finished = Vec::new();
        for number in missing {
            let suspects = self.open.entry(*number).or_insert_with(|| Arc::clone(holders));
            if suspects.is_disjoint(holders) {
                finished.push(*number);
            }
        }
        finished
    }

    fn bury(&mut self, finished: &[i64], late: &HashSet<i64>) {
        for number in finished {
            self.open.remove(number);
            if !late.contains(number) {
                self.dead.insert(*number);
            }
        }
        while self.dead.len() > DEAD_MAX {
            self.dead.pop_first();
        }
        // What is open below a buried number has been passed or was filled; it is asked about again if anybody cares.
        if self.open.len() > DEAD_MAX {
            self.open.clear();
        }
    }
}

fn up_to(mut changes: Vec<Change>, gap: i64) -> ChangePage {
    changes.retain(|change| change.seq.0 < gap);
    ChangePage { changes, complete: false }
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

async fn present(pool: &PgPool, numbers: &[i64]) -> Result<HashSet<i64>> {
    const SQL: &str = "SELECT seq FROM changes WHERE seq = ANY($1)";
    sqlx::query(SQL).bind(numbers).fetch_all(pool).await?.iter().map(|row| row.cell("seq")).collect()
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
        let pool = shared.pools.load().platform.clone();
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
            outcome = hear(&shared, &pools.platform) => if let Err(error) = outcome {
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
