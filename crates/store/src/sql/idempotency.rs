//! Idempotency records, stamped onto both backends.
//!
//! Invariant: a record is completed only by the reservation that holds it, told by its token; a reservation whose lease
//! ran out may be taken over, and the late one then fails instead of committing twice.

/// Stamps `Idempotency`.
macro_rules! stamp_idempotency {
    ($tx:ty) => {
        #[async_trait]
        impl Idempotency for $tx {
            async fn reserve(&mut self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
                // Takes the key when it is free, when its record is over, or when its holder never came back.
                const TAKE: &str = "INSERT INTO idempotency (caller, key, fingerprint, token, lease_until, expires_at) \
                    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (caller, key) DO UPDATE SET \
                    fingerprint = excluded.fingerprint, token = excluded.token, lease_until = excluded.lease_until, \
                    expires_at = excluded.expires_at, outcome = NULL \
                    WHERE idempotency.expires_at <= $7 OR (idempotency.outcome IS NULL AND idempotency.lease_until <= $7) \
                    RETURNING token";
                const LOOK: &str = "SELECT fingerprint, outcome, lease_until FROM idempotency WHERE caller = $1 AND key = $2";
                attempt!(self, platform conn => {
                    let taken = sqlx::query(TAKE)
                        .bind(&claim.caller)
                        .bind(&claim.key)
                        .bind(&claim.fingerprint)
                        .bind(claim.token)
                        .bind(Ts(claim.lease_until))
                        .bind(Ts(claim.expires_at))
                        .bind(Ts(now))
                        .fetch_optional(&mut *conn)
                        .await?;
                    if taken.is_some() {
                        return Ok(Claimed::Reserved);
                    }
                    let Some(row) = sqlx::query(LOOK).bind(&claim.caller).bind(&claim.key).fetch_optional(conn).await?
                    else {
                        // Released between the two statements: the caller's next try will take it.
                        return Ok(Claimed::InProgress);
                    };
                    let outcome: Option<String> = row.cell("outcome")?;
                    let runs = row.cell::<Ts>("lease_until")?.0 > now;
                    Ok(match outcome {
                        _ if row.cell::<String>("fingerprint")? != claim.fingerprint => Claimed::Reused,
                        Some(outcome) if !runs => Claimed::Done { outcome },
                        Some(_) | None => Claimed::InProgress,
                    })
                })
            }

            async fn complete(&mut self, claim: &Claim, outcome: &str) -> Result<()> {
                // A lease that is long over says that the request has ended.
                self.complete_for_now(claim, outcome, Timestamp::UNIX_EPOCH).await
            }

            async fn complete_for_now(&mut self, claim: &Claim, outcome: &str, until: Timestamp) -> Result<()> {
                const SQL: &str = "UPDATE idempotency SET outcome = $4, lease_until = $5 \
                    WHERE caller = $1 AND key = $2 AND token = $3";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(&claim.caller)
                        .bind(&claim.key)
                        .bind(claim.token)
                        .bind(outcome)
                        .bind(Ts(until))
                        .execute(conn)
                        .await?;
                    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict(Conflict::ReservationLost)) }
                })
            }

            async fn release(&mut self, claim: &Claim) -> Result<()> {
                const SQL: &str =
                    "DELETE FROM idempotency WHERE caller = $1 AND key = $2 AND token = $3 AND outcome IS NULL";
                attempt!(self, platform conn => {
                    sqlx::query(SQL).bind(&claim.caller).bind(&claim.key).bind(claim.token).execute(conn).await?;
                    Ok(())
                })
            }

            async fn purge(&mut self, now: Timestamp, limit: usize) -> Result<u64> {
                // The end is asked for twice: a row that was taken again while this waited for it is looked at once more
                // then, but by the outer condition only.
                const SQL: &str = "DELETE FROM idempotency WHERE (caller, key) IN \
                    (SELECT caller, key FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) \
                    AND expires_at <= $1";
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                attempt!(self, platform conn => {
                    Ok(sqlx::query(SQL).bind(Ts(now)).bind(limit).execute(conn).await?.rows_affected())
                })
            }
        }
    };
}
pub(crate) use stamp_idempotency;
