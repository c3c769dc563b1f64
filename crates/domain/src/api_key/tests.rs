//! The life of a key, as tables and by properties.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::slug::{ReservedSlugs, Slug};
use crate::tenant::{NewTenant, Plan};

const NOW: i64 = 1_790_000_000_000_001;

fn at(seconds: i64) -> Timestamp {
    from_micros(NOW + seconds * 1_000_000)
}

fn id(number: u128) -> ApiKeyId {
    ApiKeyId(Uuid::from_u128(number))
}

fn new(scopes: &[&str], expires_at: Option<Timestamp>) -> NewApiKey {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    NewApiKey { tenant_id: None, name: "CI".to_owned(), scopes, expires_at }
}

fn key(expires_at: Option<Timestamp>) -> ApiKey {
    new(&["tenant:read"], expires_at).make(id(1), KeyEnv::Live, &Secret::from("trk_live_one1"), "user:ada", at(0))
}

fn tenant() -> Tenant {
    NewTenant {
        slug: Slug::parse("acme", &ReservedSlugs::default()).unwrap(),
        name: "Acme".to_owned(),
        plan: Plan::Starter,
        trial_days: 1,
        admin_email: None,
        admin_name: None,
        metadata: Default::default(),
        hosts: Vec::new(),
    }
    .start(TenantId(Uuid::from_u128(9)), at(0))
}

#[test]
fn a_key_keeps_each_scope_once_in_order() {
    let made = new(&["b", "a", "b", "c", "a"], None).make(id(1), KeyEnv::Dev, &Secret::from("x"), "me", at(0));
    assert_eq!(made.scopes, ["b", "a", "c"]);
    assert_eq!((made.prefix.as_str(), made.last_four.as_str()), ("trk_dev_", "x"));
}

#[track_caller]
fn check(new: &NewApiKey, expected: &[(&str, FieldCode)]) {
    let found = new.check(at(0));
    let found: Vec<_> = found.iter().map(|violation| (violation.field.as_str(), violation.code)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_new_key_is_held_to_its_limits() {
    let longest = "a".repeat(64);
    check(&new(&["tenant:read", "a.b_c-9", &longest], None), &[]);
    let too_long = "a".repeat(65);
    check(
        &new(&["", &too_long, "tenant:*", "Tenant", "ä", "a b", "a"], None),
        &[
            ("scopes.0", FieldCode::TooShort),
            ("scopes.1", FieldCode::TooLong),
            ("scopes.2", FieldCode::InvalidFormat),
            ("scopes.3", FieldCode::InvalidFormat),
            ("scopes.4", FieldCode::InvalidFormat),
            ("scopes.5", FieldCode::InvalidFormat),
        ],
    );
    check(&new(&["a"; 100], None), &[]);
    check(&new(&["a"; 101], None), &[("scopes", FieldCode::TooLong)]);
    check(&new(&[], Some(at(1))), &[]);
    check(&new(&[], Some(at(0))), &[("expires_at", FieldCode::OutOfRange)]);
    check(&new(&[], Some(at(-1))), &[("expires_at", FieldCode::OutOfRange)]);
    let within_the_microsecond = at(0).checked_add(crate::time::SignedDuration::from_nanos(900)).unwrap();
    check(&new(&[], Some(within_the_microsecond)), &[("expires_at", FieldCode::OutOfRange)]);
    check(&NewApiKey { name: " ".to_owned(), ..new(&[], None) }, &[("name", FieldCode::TooShort)]);
    check(&NewApiKey { name: "n".repeat(256), ..new(&[], None) }, &[("name", FieldCode::TooLong)]);
}

#[test]
fn a_rotated_key_passes_everything_on() {
    let mut old = key(Some(at(1_000)));
    old.last_used_at = Some(at(1));
    let before = old.clone();
    let new = old.rotate(id(2), &Secret::from("trk_live_two2"), 60, "key:1", at(10)).unwrap();
    let expected = ApiKey {
        id: id(2),
        last_four: "two2".to_owned(),
        hash: format::hash("trk_live_two2"),
        created_at: at(10),
        created_by: "key:1".to_owned(),
        last_used_at: None,
        ..before.clone()
    };
    assert_eq!(new, expected, "the whole prefix among it");
    assert_eq!(old, ApiKey { expires_at: Some(at(70)), rotated_to: Some(id(2)), ..before });
}

#[test]
fn without_overlap_the_old_key_is_revoked_at_once() {
    let mut old = key(None);
    let new = old.rotate(id(2), &Secret::from("x"), 0, "me", at(5)).unwrap();
    assert_eq!((old.revoked_at, old.expires_at, old.status(at(5))), (Some(at(5)), None, KeyStatus::Revoked));
    assert_eq!(new.status(at(5)), KeyStatus::Live);
}

#[test]
fn only_a_living_key_without_successor_is_rotated() {
    let refused = |mut key: ApiKey| {
        let before = key.clone();
        let outcome = key.rotate(id(2), &Secret::from("x"), 60, "me", at(1));
        let refused = matches!(outcome, Err(Error::KeyNotRotatable { .. }));
        assert_eq!(key == before, refused, "a refusal changes nothing");
        refused
    };
    assert!(refused(ApiKey { revoked_at: Some(at(0)), ..key(None) }));
    assert!(refused(key(Some(at(1)))));
    assert!(refused(ApiKey { rotated_to: Some(id(3)), ..key(None) }));
    assert!(!refused(key(Some(at(2)))));
}

#[test]
fn a_key_is_revoked_once_and_stays_so() {
    let mut key = key(Some(at(1)));
    assert!(key.revoke(at(5)), "an expired one too");
    assert!(!key.revoke(at(6)));
    assert_eq!((key.revoked_at, key.status(at(9))), (Some(at(5)), KeyStatus::Revoked));
}

#[track_caller]
fn judged(expires: Option<i64>, revoked: bool, owner: Owner<'_>, in_scope: bool, expected: VerifyCode) {
    let life = KeyLife { expires_at: expires.map(at), revoked_at: revoked.then(|| at(0)) };
    assert_eq!(verdict(life, owner, in_scope, at(10)), expected);
}

#[test]
fn the_first_reason_that_applies_is_told() {
    let active = tenant();
    let mut frozen = tenant();
    frozen.cancel(at(1)).unwrap();
    let mut ran_out = tenant();
    ran_out.trial_ends_at = Some(at(10));
    let (active, gone) = (Owner::Tenant(Some(&active)), Owner::Tenant(None));
    judged(Some(10), true, gone, false, VerifyCode::NotFound);
    judged(Some(10), true, Owner::Tenant(Some(&frozen)), false, VerifyCode::Revoked);
    judged(Some(10), false, Owner::Tenant(Some(&frozen)), false, VerifyCode::Expired);
    judged(Some(11), false, Owner::Tenant(Some(&frozen)), false, VerifyCode::TenantFrozen);
    judged(None, false, Owner::Tenant(Some(&ran_out)), false, VerifyCode::TenantFrozen);
    judged(Some(11), false, active, false, VerifyCode::InsufficientScope);
    judged(Some(11), false, active, true, VerifyCode::Valid);
    judged(None, false, active, true, VerifyCode::Valid);
    judged(None, false, Owner::Platform, true, VerifyCode::Valid);
    judged(None, false, Owner::Platform, false, VerifyCode::InsufficientScope);
}

#[test]
fn a_kept_outcome_has_no_plaintext() {
    let minted = Minted { key: key(Some(at(9))), plaintext: Some(Secret::from("trk_dev_secret")) };
    let kept = serde_json::to_string(&minted).unwrap();
    assert!(!kept.contains("secret") && !kept.contains("plaintext"), "{kept}");
    let replayed: Minted = serde_json::from_str(&kept).unwrap();
    assert_eq!((replayed.key, replayed.plaintext), (minted.key.clone(), None));
    assert!(!format!("{minted:?}").contains("secret"));
}

proptest! {
    #[test]
    fn rotation_never_lengthens_a_life(
        expires in proptest::option::of(1_i64..2_000_000), overlap in 0_u32..=OVERLAP_MAX, now in 0_i64..1_500_000,
    ) {
        let mut old = key(expires.map(at));
        let before = old.clone();
        if let Ok(new) = old.rotate(id(2), &Secret::from("x"), overlap, "me", at(now)) {
            prop_assert_eq!(new.expires_at, before.expires_at);
            let end = old.revoked_at.or(old.expires_at).unwrap();
            prop_assert!(end <= at(now + i64::from(overlap)));
            prop_assert!(before.expires_at.is_none_or(|own| end <= own));
            prop_assert!(old.check_rotatable(at(now)).is_err());
        } else {
            prop_assert!(before.expires_at.is_some_and(|end| end <= at(now)));
        }
    }
}
