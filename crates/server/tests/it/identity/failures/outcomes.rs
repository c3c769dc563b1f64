//! Conflicts, lost races, lost answers: nothing is made twice, and what was made is found.

use serde_json::json;
use server::identity::provider::{AccountId, FaultKind, IdentityProvider as _, OrganizationId};

use super::super::fake::{FakeKeycloak, Fault, Options, State};
use super::super::suite::{kind, now, person, tenant, wanted};
use super::{CALL, LOST, adapter, hurried, says};

fn meanwhile(work: impl FnOnce(&mut State) + Send + 'static) -> Fault {
    Fault::Meanwhile(Box::new(work))
}

/// Somebody else is faster, and Keycloak says so like this.
fn instead(status: u16, body: &[u8], work: impl FnOnce(&mut State) + Send + 'static) -> Fault {
    Fault::Instead(Box::new(work), status, body.to_vec())
}

#[tokio::test]
async fn case_1_an_organization_of_the_alias_is_used_again() {
    let fake = FakeKeycloak::start().await;
    let spec = wanted(tenant(), "acme");
    let first = adapter(&fake).ensure_organization(&spec).await.unwrap();
    // Another process, which knows nothing of it.
    assert_eq!(adapter(&fake).ensure_organization(&spec).await.unwrap(), first);
    assert_eq!(fake.count("POST /organizations"), 1);
}

#[tokio::test]
async fn case_2_who_loses_the_race_finds_the_winners_organization() {
    let faults: [fn() -> Fault; 2] = [
        || meanwhile(|state| drop(state.put_organization("acme", "Acme (acme)"))),
        || instead(409, LOST, |state| drop(state.put_organization("acme", "Acme (acme)"))),
    ];
    for fault in faults {
        let fake = FakeKeycloak::start().await;
        fake.fault("POST /organizations", 1, fault());
        let id = adapter(&fake).ensure_organization(&wanted(tenant(), "acme")).await.unwrap();
        let state = fake.state();
        assert_eq!(state.organizations.len(), 1);
        assert_eq!(state.organizations[0].id, id.0);
    }
}

#[tokio::test]
async fn case_2_the_name_of_another_organization_is_permanent() {
    for body in [b"{}".as_slice(), LOST] {
        let fake = FakeKeycloak::start().await;
        let spec = wanted(tenant(), "acme");
        fake.state().put_organization("another", &spec.name);
        fake.fault("POST /organizations", 1, says(409, body));
        let refused = adapter(&fake).ensure_organization(&spec).await.unwrap_err();
        assert!(refused.kind == FaultKind::NameConflict && !refused.kind.is_passing(), "{refused}");
        assert_eq!(fake.count("POST /organizations"), 1);
    }
}

#[tokio::test]
async fn case_3_a_duplicate_domain_is_permanent() {
    let fake = FakeKeycloak::start().await;
    let body = br#"{"errorMessage":"Domain acme.example is already linked to organization Other in realm R"}"#;
    fake.fault("POST /organizations", 1, says(400, body));
    let refused = adapter(&fake).ensure_organization(&wanted(tenant(), "acme")).await.unwrap_err();
    assert!(refused.kind == FaultKind::Rejected && !refused.kind.is_passing(), "{refused}");
    assert!(refused.detail.contains("already linked"), "the operator reads why: {refused}");
    assert_eq!(fake.count("POST /organizations"), 1);
}

#[tokio::test]
async fn case_4_every_slug_is_an_alias_and_nothing_else_is_sent() {
    let fake = FakeKeycloak::start().await;
    let adapter = adapter(&fake);
    let whole = "abcdefghijklmnopqrstuvwxyz-0123456789";
    adapter.ensure_organization(&wanted(tenant(), whole)).await.unwrap();
    let before = fake.calls().len();
    for bad in ["", "a b", "a/b", "a;b", "A", "ä", "a:b"] {
        assert_eq!(kind(adapter.ensure_organization(&wanted(tenant(), bad)).await), FaultKind::Rejected, "{bad}");
    }
    assert_eq!(fake.calls().len(), before);
}

#[tokio::test]
async fn case_12_what_was_made_although_the_answer_was_lost_is_found() {
    let fake = FakeKeycloak::start().await;
    let (spec, intended, adapter) = (wanted(tenant(), "acme"), now(), hurried(&fake));
    // Cut off: there is time to look at once.
    for call in
        ["POST /organizations", "POST /users", "POST /organizations/{}/members", "POST /organizations/{}/groups"]
    {
        fake.fault(call, 1, Fault::CutAfter);
    }
    fake.fault("PUT /organizations/{}/groups/{}/members/{}", 1, Fault::CutAfter);
    let organization = adapter.ensure_organization(&spec).await.unwrap();
    let account = adapter.ensure_account(&person(spec.tenant, "a@example.com"), intended).await.unwrap();
    assert!(account.ours, "made by us, though nobody said so");
    adapter.ensure_member(&organization, &account.id).await.unwrap();
    adapter.ensure_admin(&organization, &account.id).await.unwrap();
    {
        let state = fake.state();
        let made = &state.organizations[0];
        assert_eq!((state.organizations.len(), state.users.len(), made.groups.len()), (1, 1, 1));
        assert!(made.groups[0].members.contains(&account.id.0));
    }
    for call in ["POST /organizations", "POST /users", "POST /organizations/{}/members"] {
        assert_eq!(fake.count(call), 1, "{call}");
    }
}

#[tokio::test]
async fn case_12_after_a_time_out_the_next_try_finds_it() {
    for keeps_attributes in [true, false] {
        let fake = FakeKeycloak::with(Options { keeps_attributes, ..Options::default() }).await;
        let (spec, intended, adapter) = (wanted(tenant(), "acme"), now(), hurried(&fake));
        fake.fault("POST /organizations", 1, Fault::HangAfter);
        fake.fault("POST /users", 1, Fault::HangAfter);
        let late = adapter.ensure_organization(&spec).await.unwrap_err();
        assert!(late.kind == FaultKind::Timeout && late.kind.is_passing(), "{late}");
        adapter.ensure_organization(&spec).await.unwrap();
        let invited = person(spec.tenant, "a@example.com");
        assert_eq!(kind(adapter.ensure_account(&invited, intended).await), FaultKind::Timeout);
        let found = adapter.ensure_account(&invited, intended).await.unwrap();
        assert!(found.ours, "known by the mark, or by the instant that we chose (attributes kept: {keeps_attributes})");
        let state = fake.state();
        assert_eq!((state.organizations.len(), state.users.len()), (1, 1));
    }
}

#[tokio::test]
async fn an_account_that_somebody_makes_meanwhile_is_not_ours() {
    for keeps_attributes in [true, false] {
        let fake = FakeKeycloak::with(Options { keeps_attributes, ..Options::default() }).await;
        let intended = now();
        // Bare, new, of that very address, and of the very millisecond in which we meant to make it.
        fake.fault(
            "POST /users",
            1,
            meanwhile(move |state| {
                let id = state.put_user("a@example.com");
                state.user(&id).unwrap().created = intended.as_millisecond();
            }),
        );
        let found = adapter(&fake).ensure_account(&person(tenant(), "a@example.com"), intended).await.unwrap();
        assert!(!found.ours, "{found:?}");
        assert_eq!(fake.state().users.len(), 1);
    }
}

#[tokio::test]
async fn an_account_is_made_where_the_realm_refuses_attributes() {
    let fake = FakeKeycloak::with(Options { keeps_attributes: false, ..Options::default() }).await;
    let body =
        br#"{"errors":[{"field":"tenant_registry","errorMessage":"error-user-attribute-read-only","params":[]}]}"#;
    fake.fault("POST /users", 1, says(400, body));
    let intended = now();
    let made = adapter(&fake).ensure_account(&person(tenant(), "a@example.com"), intended).await.unwrap();
    assert!(made.ours);
    let user = fake.state().users[0].clone();
    assert!(user.attributes.is_empty() && user.created < intended.as_millisecond(), "{user:?}");
    let again = adapter(&fake).ensure_account(&person(tenant(), "a@example.com"), intended).await.unwrap();
    assert!(again.id == made.id && !again.ours, "without the mark another tenant cannot know it");
}

#[tokio::test]
async fn an_address_that_is_the_user_name_of_another_account_is_refused() {
    let fake = FakeKeycloak::start().await;
    let id = fake.state().put_user("a@example.com");
    fake.state().user(&id).unwrap().email = Some("new@example.com".to_owned());
    let refused = adapter(&fake).ensure_account(&person(tenant(), "a@example.com"), now()).await.unwrap_err();
    assert!(refused.kind == FaultKind::Rejected && !refused.detail.contains('@'), "{refused}");
}

#[tokio::test]
async fn an_address_that_several_accounts_have_is_nobodys() {
    let fake = FakeKeycloak::start().await;
    for _ in 0..2 {
        fake.state().put_user("a@example.com");
    }
    let refused = adapter(&fake).ensure_account(&person(tenant(), "a@example.com"), now()).await.unwrap_err();
    assert!(refused.kind == FaultKind::Misconfigured && refused.detail.contains("duplicateEmailsAllowed"), "{refused}");
}

/// An organization with a member that we made.
async fn member(fake: &FakeKeycloak) -> (OrganizationId, AccountId) {
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(fake));
    let organization = adapter.ensure_organization(&spec).await.unwrap();
    let account = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap().id;
    adapter.ensure_member(&organization, &account).await.unwrap();
    (organization, account)
}

#[tokio::test]
async fn case_13_a_member_and_an_administrator_that_is_there_already_is_a_success() {
    let fake = FakeKeycloak::start().await;
    let (organization, account) = member(&fake).await;
    let adapter = adapter(&fake);
    adapter.ensure_member(&organization, &account).await.unwrap();
    let join = |id: String| move |state: &mut State| assert!(state.organizations[0].groups[0].members.insert(id));
    let add = "PUT /organizations/{}/groups/{}/members/{}";
    // The group, made by somebody else meanwhile.
    let id = organization.0.clone();
    fake.fault(
        "POST /organizations/{}/groups",
        1,
        meanwhile(move |state| {
            let group =
                super::super::fake::Group { id: "5a".to_owned(), name: "IT_ADMIN".to_owned(), ..Default::default() };
            state.organization(&id).unwrap().groups.push(group);
        }),
    );
    // And its member: in a race the answer is a 400.
    fake.fault(add, 1, instead(400, br#"{"errorMessage":"Duplicate resource error"}"#, join(account.0.clone())));
    adapter.ensure_admin(&organization, &account).await.unwrap();
    adapter.ensure_admin(&organization, &account).await.unwrap();
    assert_eq!(fake.count("POST /organizations/{}/groups"), 1);
    assert_eq!(fake.state().organizations[0].groups.len(), 1);
    // A 400 for another reason stays one.
    fake.state().organizations[0].groups[0].members.clear();
    fake.fault(add, 1, says(400, b"{}"));
    assert_eq!(kind(adapter.ensure_admin(&organization, &account).await), FaultKind::Rejected);
}

#[tokio::test]
async fn case_13_an_administrator_is_found_among_many() {
    let fake = FakeKeycloak::start().await;
    let (organization, account) = member(&fake).await;
    let adapter = adapter(&fake);
    adapter.ensure_admin(&organization, &account).await.unwrap();
    for number in 0..250 {
        let mut state = fake.state();
        let other = state.put_user(&format!("{number}@example.com"));
        state.organizations[0].members.insert(other.clone(), false);
        // Before ours in the order of the list.
        let group = &mut state.organizations[0].groups[0];
        group.members.insert(other);
    }
    adapter.ensure_admin(&organization, &account).await.unwrap();
}

#[tokio::test]
async fn case_14_an_account_that_was_deleted_between_the_steps_is_gone() {
    let fake = FakeKeycloak::start().await;
    let (organization, account) = member(&fake).await;
    fake.state().remove_user(&account.0);
    let adapter = adapter(&fake);
    assert_eq!(kind(adapter.ensure_member(&organization, &account).await), FaultKind::Gone);
    assert_eq!(kind(adapter.ensure_admin(&organization, &account).await), FaultKind::Gone);
    assert_eq!(kind(adapter.send_invitation(&account).await), FaultKind::Gone);
    assert!(FaultKind::Gone.is_passing(), "the step that makes it is begun again");
}

#[tokio::test]
async fn case_15_an_account_of_somebody_else_becomes_a_member_and_nothing_else() {
    let fake = FakeKeycloak::start().await;
    let id = fake.state().put_user("boss@example.com");
    fake.state().user(&id).unwrap().has_password = true;
    let before = format!("{:?}", fake.state().user(&id));
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    let organization = adapter.ensure_organization(&spec).await.unwrap();
    let found = adapter.ensure_account(&person(spec.tenant, "Boss@Example.com"), now()).await.unwrap();
    assert!(found.id.0 == id && !found.ours, "{found:?}");
    adapter.ensure_member(&organization, &found.id).await.unwrap();
    adapter.ensure_admin(&organization, &found.id).await.unwrap();
    let mut state = fake.state();
    assert!(!state.organizations[0].members[&id], "unmanaged");
    assert_eq!(format!("{:?}", state.user(&id)), before);
    assert!(state.mails.is_empty());
}

#[tokio::test]
async fn what_others_wrote_into_an_organization_stays() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    let id = adapter.ensure_organization(&spec).await.unwrap();
    {
        let mut state = fake.state();
        let organization = &mut state.organizations[0];
        organization.description = Some("by hand".to_owned());
        organization.redirect_url = Some("https://acme.example".to_owned());
        organization.enabled = false;
    }
    // Frozen by hand, and by us: a change of the plan must not switch it on.
    let mut then = spec.clone();
    then.enabled = Some(false);
    then.attributes.insert("plan".to_owned(), vec!["enterprise".to_owned()]);
    assert!(!adapter.update_organization(&id, &then).await.unwrap());
    let seen = fake.state().organizations[0].clone();
    assert_eq!(seen.description.as_deref(), Some("by hand"));
    assert_eq!(seen.redirect_url.as_deref(), Some("https://acme.example"));
    assert!(!seen.enabled && seen.attributes == then.attributes, "{seen:?}");
    // What is as wanted already is not written.
    let writes = fake.count("PUT /organizations/{}");
    adapter.update_organization(&id, &then).await.unwrap();
    assert_eq!(fake.count("PUT /organizations/{}"), writes);
}

#[tokio::test]
async fn accounts_that_would_go_with_their_organization_keep_it() {
    let fake = FakeKeycloak::start().await;
    let spec = wanted(tenant(), "acme");
    let id = adapter(&fake).ensure_organization(&spec).await.unwrap();
    {
        // Registered through an invitation that an administrator of the realm sent.
        let mut state = fake.state();
        let user = state.put_user("managed@example.com");
        state.organizations[0].members.insert(user, true);
    }
    let refused = adapter(&fake).delete_organization(&id, spec.tenant).await.unwrap_err();
    assert!(refused.kind == FaultKind::Rejected && refused.detail.contains("managed members"), "{refused}");
    let state = fake.state();
    assert_eq!((state.organizations.len(), state.users.len()), (1, 1));
}

#[tokio::test]
async fn case_10_reads_and_writes_that_may_be_repeated_are() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    let id = adapter.ensure_organization(&spec).await.unwrap();
    let mut then = spec.clone();
    then.attributes.insert("plan".to_owned(), vec!["pro".to_owned()]);
    for (at, status) in [500, 502, 503, 504].into_iter().enumerate() {
        let plan = format!("plan-{at}");
        then.attributes.insert("plan".to_owned(), vec![plan.clone()]);
        fake.fault("GET /organizations/{}", 1, Fault::status(status));
        fake.fault("PUT /organizations/{}", 1, Fault::status(status));
        fake.fault("PUT /organizations/{}", 2, Fault::CutAfter);
        adapter.update_organization(&id, &then).await.unwrap();
        assert_eq!(fake.state().organizations[0].attributes["plan"], [plan]);
    }
    // Not for ever.
    let before = fake.count("GET /organizations/{}");
    for nth in 1..=3 {
        fake.fault("GET /organizations/{}", nth, Fault::status(503));
    }
    let refused = adapter.update_organization(&id, &then).await.unwrap_err();
    assert!(refused.kind == FaultKind::Unavailable && refused.kind.is_passing(), "{refused}");
    assert_eq!(fake.count("GET /organizations/{}") - before, 3);
}

#[tokio::test]
async fn case_10_what_makes_something_is_repeated_after_a_look() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    fake.fault("POST /organizations", 1, Fault::status(502));
    adapter.ensure_organization(&spec).await.unwrap();
    let calls: Vec<_> = fake.calls().into_iter().filter(|call| call != "token").collect();
    let looked = calls.iter().rposition(|call| call == "GET /organizations").unwrap();
    let made = calls.iter().rposition(|call| call == "POST /organizations").unwrap();
    assert!(looked + 1 == made && fake.count("POST /organizations") == 2, "{calls:?}");
    // Done, and answered by a gateway that gave up.
    fake.fault(
        "POST /users",
        1,
        instead(504, b"", |state| {
            let body = json!({ "email": "a@example.com", "enabled": true, "attributes": { "tenant_registry": ["x"] } });
            let id = state.put_user(body["email"].as_str().unwrap());
            state.user(&id).unwrap().attributes.insert("tenant_registry".to_owned(), vec!["x".to_owned()]);
        }),
    );
    let made = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap();
    assert!(made.ours);
    assert_eq!((fake.count("POST /users"), fake.state().users.len()), (1, 1));
}

#[tokio::test]
async fn case_18_a_silent_keycloak_costs_each_call_its_limit_and_no_more() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), hurried(&fake));
    adapter.probe().await.unwrap();
    fake.fault("*", 1, Fault::Hang);
    let begin = std::time::Instant::now();
    let late = adapter.ensure_organization(&spec).await.unwrap_err();
    assert!(late.kind == FaultKind::Timeout && late.detail.contains("no answer in time"), "{late}");
    assert!(begin.elapsed() >= CALL && begin.elapsed() < 10 * CALL, "{:?}", begin.elapsed());
    // Others are not held up by it.
    adapter.ensure_organization(&spec).await.unwrap();
    // A mail call has a longer limit of its own, and is not made again.
    let account = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap().id;
    fake.fault("PUT /users/{}/execute-actions-email", 1, Fault::Hang);
    let begin = std::time::Instant::now();
    assert_eq!(kind(adapter.send_invitation(&account).await), FaultKind::Timeout);
    assert!(begin.elapsed() >= 2 * CALL && begin.elapsed() < 10 * CALL, "{:?}", begin.elapsed());
    assert_eq!(fake.count("PUT /users/{}/execute-actions-email"), 1);
    // The token endpoint is no exception.
    fake.state().forget_tokens();
    fake.fault("token", 1, Fault::Hang);
    let begin = std::time::Instant::now();
    assert_eq!(kind(adapter.get_account(&account).await), FaultKind::Timeout);
    assert!(begin.elapsed() < 10 * CALL, "{:?}", begin.elapsed());
}
