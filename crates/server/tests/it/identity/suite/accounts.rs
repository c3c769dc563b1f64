//! Accounts: found, made, mailed, switched, deleted.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use server::identity::provider::{AccountId, FaultKind, InviteKind, OrganizationId};

use super::{World, kind, now, person, tenant, wanted};

const NOBODY: &str = "00000000-0000-4000-8000-00000000dead";

pub(crate) async fn an_account_is_made_once_and_is_ours(world: &dyn World) {
    let email = format!("{}@example.com", world.own("joerg"));
    let (person, intended) = (person(tenant(), &email), now());
    let made = world.provider().ensure_account(&person, intended).await.unwrap();
    assert!(made.ours);
    let seen = world.accounts(&email).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].id == made.id.0 && seen[0].email == email && seen[0].enabled, "{seen:?}");
    assert_eq!((seen[0].first_name.as_str(), seen[0].last_name.as_str()), ("Jörg", "Müßig"));
    assert_eq!(world.provider().ensure_account(&person, intended).await.unwrap(), made, "and found again");
    world.set_password(&made.id.0).await;
    assert_eq!(world.provider().ensure_account(&person, intended).await.unwrap(), made, "in use it is still ours");
}

pub(crate) async fn addresses_are_compared_whole_and_without_case(world: &dyn World) {
    let own = world.own("max");
    let email = format!("{own}@example.com");
    let other = world.put_account(&format!("x{email}"), true).await;
    let longer = world.put_account(&format!("{email}.de"), true).await;
    let person = person(tenant(), &format!("{}@Example.COM", own.to_uppercase()));
    let made = world.provider().ensure_account(&person, now()).await.unwrap();
    assert!(made.ours && made.id.0 != other && made.id.0 != longer);
    let lower = super::person(person.tenant, &email);
    assert_eq!(world.provider().ensure_account(&lower, now()).await.unwrap().id, made.id);
}

pub(crate) async fn an_account_of_somebody_else_is_found_and_stays_as_it_is(world: &dyn World) {
    let provider = world.provider();
    for enabled in [true, false] {
        let email = format!("{}@example.com", world.own("erika"));
        // Noted before, as the application does: an account that somebody makes meanwhile is not ours.
        let intended = now();
        let id = world.put_account(&email, enabled).await;
        let before = world.accounts(&email).await;
        let found = provider.ensure_account(&person(tenant(), &email), intended).await.unwrap();
        assert!(found.id.0 == id && !found.ours, "{found:?}");
        assert_eq!(world.accounts(&email).await, before);
        let account = provider.get_account(&found.id).await.unwrap().unwrap();
        assert!(!account.ours && account.enabled == enabled, "{account:?}");
    }
}

pub(crate) async fn an_account_made_for_one_tenant_is_ours_for_another(world: &dyn World) {
    let email = format!("{}@example.com", world.own("joerg"));
    let first = world.provider().ensure_account(&person(tenant(), &email), now()).await.unwrap();
    let second = world.provider().ensure_account(&person(tenant(), &email), now()).await.unwrap();
    assert_eq!((second.id, second.ours), (first.id.clone(), true));
    assert!(world.provider().get_account(&first.id).await.unwrap().unwrap().ours);
}

pub(crate) async fn an_address_that_is_none_is_refused(world: &dyn World) {
    for bad in [world.own("nobody"), format!("{}@example.com", world.own("jörg"))] {
        let refused = world.provider().ensure_account(&person(tenant(), &bad), now()).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Rejected, "{refused}");
        assert!(!refused.to_string().contains(&bad), "{refused}");
    }
}

pub(crate) async fn of_many_that_want_one_account_all_get_the_same(world: &dyn World) {
    let email = format!("{}@example.com", world.own("joerg"));
    // Two tenants invite one person at once.
    let people = [person(tenant(), &email), person(tenant(), &email)];
    let all = join_all((0..8).map(|at| world.provider().ensure_account(&people[at % 2], now()))).await;
    let all: BTreeSet<_> = all.into_iter().map(|ensured| ensured.map(|e| (e.id.0, e.ours)).unwrap()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all.iter().all(|(_, ours)| *ours));
    assert_eq!(world.accounts(&email).await.len(), 1);
}

pub(crate) async fn an_account_tells_what_it_has(world: &dyn World) {
    let provider = world.provider();
    let spec = wanted(tenant(), &world.own("acme"));
    let email = format!("{}@example.com", spec.alias);
    let id = provider.ensure_account(&person(spec.tenant, &email), now()).await.unwrap().id;
    let fresh = provider.get_account(&id).await.unwrap().unwrap();
    assert!(fresh.id == id && fresh.enabled && !fresh.has_password && fresh.ours, "{fresh:?}");
    assert!(fresh.organizations.is_empty(), "{fresh:?}");
    let organization = provider.ensure_organization(&spec).await.unwrap();
    provider.ensure_member(&organization, &id).await.unwrap();
    world.set_password(&id.0).await;
    let used = provider.get_account(&id).await.unwrap().unwrap();
    assert!(used.has_password, "{used:?}");
    assert_eq!(used.organizations, [organization]);
}

pub(crate) async fn an_account_is_switched_off_and_on_and_keeps_the_rest(world: &dyn World) {
    let provider = world.provider();
    let email = format!("{}@example.com", world.own("joerg"));
    let id = provider.ensure_account(&person(tenant(), &email), now()).await.unwrap().id;
    let before = world.accounts(&email).await;
    assert!(provider.set_account_enabled(&id, false).await.unwrap(), "it could before");
    assert!(!provider.set_account_enabled(&id, false).await.unwrap(), "it could not");
    assert!(!world.accounts(&email).await[0].enabled);
    provider.log_out(&id).await.unwrap();
    assert!(!provider.set_account_enabled(&id, true).await.unwrap());
    assert_eq!(world.accounts(&email).await, before);
    assert!(provider.get_account(&id).await.unwrap().unwrap().ours, "the mark is still there");

    let nobody = AccountId(NOBODY.to_owned());
    assert_eq!(kind(provider.set_account_enabled(&nobody, true).await), FaultKind::Gone);
    assert_eq!(kind(provider.log_out(&nobody).await), FaultKind::Gone);
}

pub(crate) async fn an_account_is_deleted_once(world: &dyn World) {
    let provider = world.provider();
    let email = format!("{}@example.com", world.own("joerg"));
    let first = provider.ensure_account(&person(tenant(), &email), now()).await.unwrap().id;
    for _ in 0..2 {
        provider.delete_account(&first).await.unwrap();
        assert_eq!(provider.get_account(&first).await.unwrap(), None);
    }
    let second = provider.ensure_account(&person(tenant(), &email), now()).await.unwrap();
    assert!(second.ours && second.id != first, "another one of the same address");
}

pub(crate) async fn ids_that_are_none_are_nothing(world: &dyn World) {
    let provider = world.provider();
    let email = format!("{}@example.com", world.own("joerg"));
    let made = provider.ensure_account(&person(tenant(), &email), now()).await.unwrap().id;
    // Not one of these may become another path.
    for id in ["", ".", "..", NOBODY, "x/../y", "a b", "%2e%2e", &format!("x/../{}", made.0), &format!("{}/", made.0)] {
        let id = AccountId(id.to_owned());
        let found = provider.get_account(&id).await;
        assert!(matches!(&found, Ok(None) | Err(_)), "{id:?}: {found:?}");
        let _ = provider.delete_account(&id).await;
        let _ = provider.delete_organization(&OrganizationId(id.0), tenant()).await;
    }
    assert!(provider.get_account(&made).await.unwrap().is_some());
}

pub(crate) async fn an_invitation_is_mailed_and_its_link_found(world: &dyn World) {
    let provider = world.provider();
    let (email, since) = (format!("{}@example.com", world.own("joerg")), now());
    let person = person(tenant(), &email);
    let id = provider.ensure_account(&person, since).await.unwrap().id;
    assert_eq!(world.mails(&email).await, 0, "nothing is mailed by the way");
    // An address that has this one in it gets a mail as well, and later.
    let other = provider.ensure_account(&super::person(person.tenant, &format!("x{email}")), since).await.unwrap().id;
    provider.send_invitation(&id).await.unwrap();
    provider.send_invitation(&other).await.unwrap();
    let link = provider.invite_link(&email.to_uppercase(), since).await.unwrap();
    assert_eq!(link.kind, InviteKind::Mail);
    assert!(!format!("{link:?}").contains(&link.url), "links are not printed");
    let others = provider.invite_link(&format!("x{email}"), since).await.unwrap();
    assert_ne!(others.url, link.url);
    assert_eq!(world.mails(&email).await, 1);
    provider.send_invitation(&id).await.unwrap();
    assert_eq!(world.mails(&email).await, 2, "each call is one mail");
}

pub(crate) async fn without_a_mail_there_is_the_login_page(world: &dyn World) {
    let email = format!("{}+a@example.com", world.own("joerg"));
    let link = world.provider().invite_link(&email, now()).await.unwrap();
    assert_eq!(link.kind, InviteKind::Login);
    let url = url::Url::parse(&link.url).unwrap();
    assert!(url.query_pairs().any(|(key, value)| key == "login_hint" && value == email), "{url}");
}

pub(crate) async fn an_invitation_needs_an_account_that_may_log_in(world: &dyn World) {
    let provider = world.provider();
    let email = format!("{}@example.com", world.own("joerg"));
    let id = provider.ensure_account(&person(tenant(), &email), now()).await.unwrap().id;
    provider.set_account_enabled(&id, false).await.unwrap();
    assert_eq!(kind(provider.send_invitation(&id).await), FaultKind::Rejected);
    assert_eq!(kind(provider.send_invitation(&AccountId(NOBODY.to_owned())).await), FaultKind::Gone);
    assert_eq!(world.mails(&email).await, 0);
}
