//! The transition of health, cell by cell: the table of the contract written out by hand, which the code has to match.

use tenancy::{Health, Verdict};

use Health::{Disabled, Healthy, Pending, Unverified};

#[track_caller]
fn check(before: Health, ever_valid: bool, valid: Health, transient: Health, permanent: Health) {
    let verdicts = [
        (Verdict::Valid, valid),
        (Verdict::Transient("t".into()), transient),
        (Verdict::Permanent("p".into()), permanent),
    ];
    for (verdict, after) in verdicts {
        assert_eq!(before.after(ever_valid, &verdict), after, "{before}, ever valid: {ever_valid}, {verdict:?}");
    }
}

/// 4 states × ever valid or not × 3 verdicts.
#[test]
fn every_cell_of_the_transition() {
    check(Pending, false, Healthy, Pending, Disabled);
    check(Pending, true, Healthy, Pending, Disabled);
    // Never valid and yet healthy or unverified cannot be; if it were, the next trouble would refuse it.
    check(Healthy, false, Healthy, Pending, Disabled);
    check(Healthy, true, Healthy, Unverified, Disabled);
    check(Unverified, false, Healthy, Pending, Disabled);
    check(Unverified, true, Healthy, Unverified, Disabled);
    check(Disabled, false, Healthy, Disabled, Disabled);
    check(Disabled, true, Healthy, Disabled, Disabled);
}

/// The fail-open of the registries before this one: permanent, then transient, and an unvalidated tenant served.
#[test]
fn a_tenant_that_was_never_valid_serves_after_no_failures_whatever_their_order() {
    let failures = [Verdict::Transient("t".into()), Verdict::Permanent("p".into())];
    let mut reached = vec![Pending];
    for _ in 0..6 {
        reached =
            reached.iter().flat_map(|health| failures.iter().map(|verdict| health.after(false, verdict))).collect();
        assert!(reached.iter().all(|health| !health.serves()), "{reached:?}");
    }
}

#[test]
fn only_a_valid_verdict_brings_a_disabled_tenant_back() {
    for ever_valid in [false, true] {
        assert_eq!(Disabled.after(ever_valid, &Verdict::Transient("t".into())), Disabled);
        assert_eq!(Disabled.after(ever_valid, &Verdict::Valid), Healthy);
    }
}
