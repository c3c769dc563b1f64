//! `noop`, as far as it needs no environment; `validate/noop.rs` has the rest beside the code.

use tenancy::{Noop, Verdict, noop_acknowledged};

use super::{target, verdict};

#[tokio::test]
async fn an_acknowledged_noop_finds_every_tenant_valid() {
    let noop = noop_acknowledged("I accept that tenants are served without validation").unwrap();
    assert_eq!(verdict(&noop, &target(&[])).await, Verdict::Valid);
}

#[test]
fn only_the_whole_sentence_acknowledges() {
    for almost in ["", "dev", "test", "1", &Noop::ACKNOWLEDGEMENT[..10], &format!("{} ", Noop::ACKNOWLEDGEMENT)] {
        assert!(noop_acknowledged(almost).is_err(), "{almost:?}");
    }
}
