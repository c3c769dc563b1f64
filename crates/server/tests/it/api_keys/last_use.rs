//! When a key was last used: coarse, written by a job, and no change of anything.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{listed, make, verify};
use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{path_of, traces};

/// The job writes every ten seconds.
async fn noted(service: &Service, key: &Value, before: &Value) -> Value {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let at = listed(service, key).await["last_used_at"].clone();
        if at != *before {
            return at;
        }
        assert!(Instant::now() < deadline, "the use was not noted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

both_stores! {
    async fn good_uses_are_noted_and_nothing_else_changes(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (verified, text) = make(&service.admin, &acme, json!({})).await;
        let (calling, calling_text) = make(&service.admin, &acme, json!({ "scopes": ["tenant:read"] })).await;
        let (unused, refused) = make(&service.admin, &acme, json!({})).await;
        let before = traces(&service).await;
        verify(&service, &text).await;
        service.admin.bearer(&calling_text).get(&path_of(&acme, "")).await.expect(200);
        // What is refused is no use.
        let wanted = json!({ "key": refused, "scope": "other" });
        service.admin.post("/v1/internal/api-keys/verify", wanted).await.expect(200);
        let first = noted(&service, &verified, &Value::Null).await;
        assert!(noted(&service, &calling, &Value::Null).await.is_string());
        assert_eq!(listed(&service, &unused).await["last_used_at"], Value::Null);
        assert_eq!(traces(&service).await, before);
        assert_eq!(service.admin.get(&path_of(&acme, "")).await.body["version"], acme["version"]);

        service.clock.advance(Duration::from_secs(60));
        verify(&service, &text).await;
        let second = noted(&service, &verified, &first).await;
        assert!(second.as_str() > first.as_str(), "{second} is not after {first}");
    }
}
