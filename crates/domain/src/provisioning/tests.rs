//! The next step as a table, and by property: from anywhere, doing what is asked for comes to an end, and to the right one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::entitlement::{Grant, GrantState, Limits, Source};
use crate::ids::EntitlementId;
use crate::slug::Slug;
use crate::tenant::{NewTenant, Plan};
use crate::time::from_micros;

fn at(seconds: i64) -> Timestamp {
    from_micros(1_790_000_000_000_001 + seconds * 1_000_000)
}

fn tenant() -> Tenant {
    NewTenant {
        slug: Slug::stored("acme".to_owned()),
        name: "Acme".to_owned(),
        plan: Plan::Starter,
        trial_days: 1,
        admin_email: Some("ada@acme.example".to_owned()),
        admin_name: None,
        metadata: BTreeMap::new(),
        hosts: Vec::new(),
    }
    .start(TenantId(Uuid::from_u128(7)), at(0))
}

fn wanted(standing: Standing) -> Wanted {
    Wanted { standing, ..Wanted::of(&tenant(), &[], false, at(0)) }
}

fn fresh() -> IdentityWork {
    IdentityWork::of(&tenant()).unwrap()
}

/// What a step makes of the work where everything goes well.
fn do_step(work: &mut IdentityWork, step: Step, wanted: &Wanted) {
    match step {
        Step::Organization => {
            work.organization_is("org".to_owned());
            work.account_meant_at = Some(at(1));
        }
        Step::User => work.account_is("account".to_owned(), true),
        Step::Membership => work.is_member = true,
        Step::Admin => work.is_admin = true,
        Step::Email => work.mail_settled_at = Some(work.asked_at.unwrap_or(at(2))),
        Step::Update => work.pushed = Some(wanted.push()),
        Step::DisableOrganization => {
            work.organization_switched = Some(Switched::Off);
            work.pushed = Some(wanted.push());
        }
        Step::DisableUser => work.account_switched = Some(Switched::Off),
        Step::EnableOrganization => work.organization_switched = None,
        Step::EnableUser => work.account_switched = None,
        Step::RemoveOrganization => work.organization_lost(),
        Step::RemoveUser => work.account_lost(),
    }
}

/// Does everything that is asked for, and says what that was.
fn run(work: &mut IdentityWork, wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = work.next(wanted) {
        assert!(steps.len() < 20, "{steps:?} has no end");
        do_step(work, step, wanted);
        steps.push(step);
    }
    steps
}

#[test]
fn a_tenant_without_an_administrator_has_no_work() {
    assert_eq!(IdentityWork::of(&Tenant { admin_email: None, ..tenant() }), None);
}

#[test]
fn provisioning_is_six_steps_in_order_and_then_nothing() {
    let (mut work, live) = (fresh(), wanted(Standing::Live));
    let all = [Step::Organization, Step::Update, Step::User, Step::Membership, Step::Admin, Step::Email];
    assert_eq!(run(&mut work, &live), all);
    assert!(work.finish(1, &live, at(3)));
    assert_eq!(work.shown.status, ProvisioningStatus::Provisioned);
    assert_eq!((work.shown.step, work.done, work.provisioned_at), (None, 1, Some(at(3))));
    assert_eq!(work.due_at, live.until, "the clock changes it next");
    assert!(!work.finish(2, &live, at(9)), "once is enough");
    assert_eq!(work.provisioned_at, Some(at(3)));
}

#[test]
fn what_changed_is_pushed_before_anything_else_is_done_for_the_account() {
    let (mut work, live) = (fresh(), wanted(Standing::Live));
    do_step(&mut work, Step::Organization, &live);
    do_step(&mut work, Step::Update, &live);
    let renamed = Wanted { name: "Other (acme)".to_owned(), ..live };
    assert_eq!(work.next(&renamed), Some(Step::Update));
    assert_eq!(run(&mut work, &renamed), [Step::Update, Step::User, Step::Membership, Step::Admin, Step::Email]);
}

#[test]
fn a_freeze_that_shuts_is_two_steps_and_activation_takes_both_back() {
    let (mut work, live, shut) = (fresh(), wanted(Standing::Live), wanted(Standing::Shut));
    run(&mut work, &live);
    assert_eq!(run(&mut work, &shut), [Step::DisableOrganization, Step::DisableUser]);
    assert_eq!(run(&mut work, &live), [Step::EnableOrganization, Step::EnableUser]);
    // What was noted before an answer was lost is asked for again, either way.
    work.organization_switched = Some(Switched::Meant);
    assert_eq!(work.next(&shut), Some(Step::DisableOrganization));
    assert_eq!(work.next(&live), Some(Step::EnableOrganization));
}

#[test]
fn an_account_of_somebody_else_is_never_switched_or_removed() {
    let (mut work, live) = (fresh(), wanted(Standing::Live));
    do_step(&mut work, Step::Organization, &live);
    work.account_is("theirs".to_owned(), false);
    run(&mut work, &live);
    assert_eq!(run(&mut work, &wanted(Standing::Shut)), [Step::DisableOrganization]);
    assert_eq!(run(&mut work, &wanted(Standing::Gone)), [Step::RemoveOrganization]);
}

#[test]
fn nothing_is_made_for_a_tenant_that_is_shut() {
    let (mut work, shut) = (fresh(), wanted(Standing::Shut));
    assert_eq!(work.next(&shut), None);
    assert!(!work.finish(1, &shut, at(1)));
    assert_eq!((work.shown.status, work.shown.step), (ProvisioningStatus::Pending, Some(Step::Organization)));
}

#[test]
fn what_may_have_been_made_is_removed_too() {
    let (mut work, gone) = (fresh(), Wanted::gone());
    assert_eq!(work.next(&gone), None, "nobody was ever at it");
    work.organization_meant = true;
    assert_eq!(run(&mut work.clone(), &gone), [Step::RemoveOrganization]);
    work.account_meant_at = Some(at(1));
    assert_eq!(run(&mut work, &gone), [Step::RemoveOrganization, Step::RemoveUser]);
}

#[test]
fn what_is_lost_is_made_again_and_what_hung_on_it() {
    let (live, mut work) = (wanted(Standing::Live), fresh());
    run(&mut work, &live);
    let mut lost = work.clone();
    lost.account_lost();
    assert_eq!(run(&mut lost, &live), [Step::User, Step::Membership, Step::Admin, Step::Email]);
    let mut lost = work.clone();
    lost.organization_lost();
    assert_eq!(
        run(&mut lost, &live),
        [Step::Organization, Step::Update, Step::Membership, Step::Admin],
        "and no second mail"
    );
    work.membership_lost();
    assert_eq!(run(&mut work, &live), [Step::Membership, Step::Admin]);
}

#[test]
fn a_mail_is_sent_again_when_it_is_asked_for_after_the_last_was_settled() {
    let (live, mut work) = (wanted(Standing::Live), fresh());
    run(&mut work, &live);
    assert_eq!(work.mail_settled_at, Some(at(2)));
    for (asked, expected) in [(1, None), (2, None), (3, Some(Step::Email))] {
        work.asked_at = Some(at(asked));
        assert_eq!(work.next(&live), expected, "{asked}");
    }
}

#[test]
fn a_failure_is_news_when_its_step_or_its_code_is() {
    let (live, mut work) = (wanted(Standing::Live), fresh());
    assert!(work.fail(Step::Email, "mail_failed", at(5)));
    assert_eq!((work.shown.status, work.shown.step), (ProvisioningStatus::Failed, Some(Step::Email)));
    assert_eq!((work.shown.error.as_deref(), work.attempts, work.due_at), (Some("mail_failed"), 1, Some(at(5))));
    work.begin();
    assert_eq!((work.shown.status, work.shown.error.as_deref()), (ProvisioningStatus::Pending, None));
    assert!(!work.fail(Step::Email, "mail_failed", at(9)));
    assert!(work.fail(Step::Email, "timeout", at(9)));
    assert!(work.fail(Step::User, "timeout", at(9)));
    run(&mut work, &live);
    assert!(work.finish(1, &live, at(10)));
    assert!(work.fail(Step::User, "timeout", at(9)), "after a success it is news again");
    // A tenant that was provisioned and whose push failed is told to be provisioned once it came through.
    assert!(work.finish(2, &live, at(11)));
}

#[test]
fn the_wanted_attributes_follow_the_tenant_its_products_and_the_clock() {
    let mut tenant = tenant();
    tenant.activate(at(1)).unwrap();
    let held = |product: &str, starts: Option<i64>, ends: Option<i64>| {
        Grant { state: GrantState::Active, starts_at: starts.map(at), expires_at: ends.map(at), limits: Limits::new() }
            .start(EntitlementId(Uuid::nil()), tenant.id, product.to_owned(), Source::Grant, at(0))
    };
    let all = [held("voice", None, None), held("crm", Some(10), Some(20)), held("old", None, Some(5))];
    let products = |now| Wanted::of(&tenant, &all, true, at(now)).attributes["products"].clone();
    assert_eq!(
        (products(6), products(10), products(20)),
        (vec!["voice".to_owned()], vec!["crm".to_owned(), "voice".to_owned()], vec!["voice".to_owned()],)
    );
    let until = |now| Wanted::of(&tenant, &all, true, at(now)).until;
    assert_eq!([until(0), until(5), until(10), until(20)], [Some(at(5)), Some(at(10)), Some(at(20)), None]);
    let mut frozen = tenant.clone();
    frozen.cancel(at(2)).unwrap();
    let shut = Wanted::of(&frozen, &all, true, at(15));
    assert_eq!((shut.standing, shut.attributes["products"].len()), (Standing::Shut, 0));
    assert_eq!(shut.attributes["status"], ["frozen"]);
    assert_eq!(Wanted::of(&frozen, &all, false, at(15)).standing, Standing::Live);
    assert_eq!(Wanted::of(&super::tests::tenant(), &[], false, at(0)).until, Some(at(86_400)), "a trial's end");
}

#[test]
fn an_organizations_name_holds_the_slug_and_fits() {
    assert_eq!(organization_name("Müller & Söhne", "mueller"), "Müller & Söhne (mueller)");
    let slug = "s".repeat(63);
    for name in ["n".repeat(255), "ä".repeat(255), "🦀".repeat(255), format!("{} x", "n".repeat(187))] {
        let made = organization_name(&name, &slug);
        let length = made.encode_utf16().count();
        assert!(length <= ORGANIZATION_NAME_MAX && length > 250 && made.ends_with(&format!(" ({slug})")), "{made}");
    }
}

fn any_switched() -> impl Strategy<Value = Option<Switched>> {
    prop_oneof![Just(None), Just(Some(Switched::Meant)), Just(Some(Switched::Off)), Just(Some(Switched::Left))]
}

prop_compose! {
    fn any_work()(
        (organization, meant, account, ours, member, admin, mailed, pushed) in any::<(bool, bool, bool, bool, bool, bool, bool, bool)>(),
        (organization_switched, account_switched) in (any_switched(), any_switched()),
    ) -> IdentityWork {
        let mut work = fresh();
        if organization {
            do_step(&mut work, Step::Organization, &wanted(Standing::Live));
            do_step(&mut work, Step::Update, &wanted(Standing::Live));
            work.organization_switched = organization_switched;
        }
        work.organization_meant |= meant;
        if account {
            work.account_is("account".to_owned(), ours);
            work.account_switched = account_switched.filter(|_| ours);
        }
        if !pushed {
            work.pushed = None;
        }
        work.is_member = member;
        work.is_admin = admin;
        work.mail_settled_at = mailed.then(|| at(1));
        work
    }
}

proptest! {
    #[test]
    fn from_anywhere_the_steps_end_where_they_should(work in any_work()) {
        let mut live = work.clone();
        run(&mut live, &wanted(Standing::Live));
        prop_assert!(live.shown.organization_id.is_some() && live.account_id.is_some() && live.is_member && live.is_admin);
        prop_assert!(live.organization_switched.is_none() && live.account_switched.is_none());
        prop_assert!(live.mail_settled_at.is_some());

        let mut shut = work.clone();
        let steps = run(&mut shut, &wanted(Standing::Shut));
        prop_assert!(steps.iter().all(|s| matches!(s, Step::DisableOrganization | Step::DisableUser | Step::Update)));
        if shut.shown.organization_id.is_some() {
            prop_assert!(matches!(shut.organization_switched, Some(Switched::Off | Switched::Left)));
        }

        let mut gone = work.clone();
        let steps = run(&mut gone, &Wanted::gone());
        prop_assert!(steps.iter().all(|s| matches!(s, Step::RemoveOrganization | Step::RemoveUser)));
        prop_assert!(!gone.organization_meant && (gone.account_id.is_none() || !gone.account_ours));
    }
}
