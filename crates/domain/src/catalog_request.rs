//! A tenant's wish for a product, and what became of it.
//!
//! `app` opens and decides it inside a store transaction. Invariant: a request is decided once, and what decides it is
//! written with it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::{CatalogRequestId, TenantId};
use crate::time::Timestamp;
use crate::words::words;

/// The most characters of a request's message.
pub const MESSAGE_MAX: usize = 1_000;

words! {
    /// Where a request stands.
    RequestStatus {
        /// Nobody has decided.
        Open = "open",
        /// It was granted.
        Approved = "approved",
        /// It was not.
        Rejected = "rejected",
    }
}

/// A request for a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogRequest {
    /// Its id.
    pub id: CatalogRequestId,
    /// Who wants it.
    pub tenant_id: TenantId,
    /// What is wanted: a product's key. The product may be gone since.
    pub product: String,
    /// Why, in words.
    pub message: Option<String>,
    /// Where it stands.
    pub status: RequestStatus,
    /// Who asked.
    pub requested_by: String,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

impl CatalogRequest {
    /// Refuses to decide once more.
    ///
    /// # Errors
    /// `RequestAlreadyDecided`.
    pub fn check_open(&self) -> Result<()> {
        match self.status {
            RequestStatus::Open => Ok(()),
            RequestStatus::Approved | RequestStatus::Rejected => {
                Err(Error::RequestAlreadyDecided { status: self.status.as_str() })
            }
        }
    }

    /// Decides it.
    ///
    /// # Errors
    /// `RequestAlreadyDecided`.
    pub fn decide(&mut self, approved: bool, by: &str, now: Timestamp) -> Result<()> {
        self.check_open()?;
        self.status = if approved { RequestStatus::Approved } else { RequestStatus::Rejected };
        self.decided_by = Some(by.to_owned());
        self.decided_at = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_request_is_decided_once() {
        for (approved, status) in [(true, RequestStatus::Approved), (false, RequestStatus::Rejected)] {
            let mut request = CatalogRequest {
                id: CatalogRequestId(Uuid::nil()),
                tenant_id: TenantId(Uuid::nil()),
                product: "crm".to_owned(),
                message: None,
                status: RequestStatus::Open,
                requested_by: "user:ada".to_owned(),
                decided_by: None,
                created_at: Timestamp::UNIX_EPOCH,
                decided_at: None,
            };
            request.decide(approved, "user:root", Timestamp::MAX).unwrap();
            let decided = request.clone();
            assert_eq!((request.status, request.decided_by.as_deref()), (status, Some("user:root")));
            assert_eq!(request.decided_at, Some(Timestamp::MAX));
            for again in [true, false] {
                let refused = request.decide(again, "user:other", Timestamp::UNIX_EPOCH);
                assert!(
                    matches!(refused, Err(Error::RequestAlreadyDecided { status: word }) if word == status.as_str())
                );
                assert_eq!(request, decided);
            }
        }
    }
}
