//! Organizations: found, made, changed, deleted.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use server::identity::provider::{FaultKind, OrganizationId};

use super::{SeenOrganization, World, kind, now, person, tenant, wanted};

fn foreign(alias: &str, attributes: &[(&str, &str)]) -> SeenOrganization {
    SeenOrganization {
        name: format!("{alias} of somebody"),
        alias: alias.to_owned(),
        enabled: true,
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect(),
    }
}

pub(crate) async fn a_provider_with_everything_passes_the_probe(world: &dyn World) {
    world.provider().probe().await.unwrap();
}

pub(crate) async fn an_organization_is_made_once_as_it_is_wanted(world: &dyn World) {
    let wanted = wanted(tenant(), &world.own("acme"));
    let id = world.provider().ensure_organization(&wanted).await.unwrap();
    let seen = world.organization(&id.0).await.unwrap();
    let expected = SeenOrganization {
        name: wanted.name.clone(),
        alias: wanted.alias.clone(),
        enabled: true,
        attributes: wanted.attributes.clone(),
    };
    assert_eq!(seen, expected);
    assert_eq!(world.provider().ensure_organization(&wanted).await.unwrap(), id, "and found again");
}

pub(crate) async fn organizations_of_similar_aliases_are_told_apart(world: &dyn World) {
    let slug = world.own("acme");
    let mut others = Vec::new();
    for alias in [format!("{slug}-2"), format!("{slug}x"), format!("x{slug}")] {
        others.push(world.put_organization(foreign(&alias, &[])).await);
    }
    let id = world.provider().ensure_organization(&wanted(tenant(), &slug)).await.unwrap();
    assert!(!others.contains(&id.0));
    assert_eq!(world.organization(&id.0).await.unwrap().alias, slug);
}

pub(crate) async fn an_organization_without_a_tenant_is_found_and_not_changed(world: &dyn World) {
    let seen = foreign(&world.own("acme"), &[("color", "blue")]);
    let id = world.put_organization(seen.clone()).await;
    let found = world.provider().ensure_organization(&wanted(tenant(), &seen.alias)).await.unwrap();
    assert_eq!(found.0, id);
    assert_eq!(world.organization(&id).await.unwrap(), seen);
}

pub(crate) async fn an_organization_of_another_tenant_is_left_alone(world: &dyn World) {
    let (other, ours) = (tenant(), tenant());
    let seen = foreign(&world.own("acme"), &[("tenant_id", &other.to_string())]);
    let id = OrganizationId(world.put_organization(seen.clone()).await);
    let wanted = wanted(ours, &seen.alias);
    let provider = world.provider();
    assert_eq!(kind(provider.ensure_organization(&wanted).await), FaultKind::NameConflict);
    assert_eq!(kind(provider.update_organization(&id, &wanted).await), FaultKind::NameConflict);
    provider.delete_organization(&id, ours).await.unwrap();
    assert_eq!(world.organization(&id.0).await.unwrap(), seen);
}

pub(crate) async fn a_name_that_another_organization_has_is_a_conflict(world: &dyn World) {
    let mut first = wanted(tenant(), &world.own("first"));
    let second = wanted(tenant(), &world.own("second"));
    let provider = world.provider();
    let id = provider.ensure_organization(&first).await.unwrap();
    let before = world.organization(&id.0).await.unwrap();
    provider.ensure_organization(&second).await.unwrap();
    let mut third = wanted(tenant(), &world.own("third"));
    third.name.clone_from(&second.name);
    assert_eq!(kind(provider.ensure_organization(&third).await), FaultKind::NameConflict);
    first.name.clone_from(&second.name);
    assert_eq!(kind(provider.update_organization(&id, &first).await), FaultKind::NameConflict);
    assert_eq!(world.organization(&id.0).await.unwrap(), before);
}

pub(crate) async fn names_may_have_255_characters_and_no_more(world: &dyn World) {
    let provider = world.provider();
    let mut spec = wanted(tenant(), &world.own("long"));
    let suffix = format!(" ({})", spec.alias);
    spec.name = "ü".repeat(255 - suffix.chars().count()) + &suffix;
    spec.attributes.insert("plan".to_owned(), vec!["p".repeat(255)]);
    let id = provider.ensure_organization(&spec).await.unwrap();
    assert_eq!(world.organization(&id.0).await.unwrap().name, spec.name);

    let mut longer = spec.clone();
    longer.name.insert(0, 'ü');
    let mut attribute = spec.clone();
    attribute.attributes.insert("plan".to_owned(), vec!["p".repeat(256)]);
    for refused in [longer, attribute] {
        assert_eq!(kind(provider.update_organization(&id, &refused).await), FaultKind::Rejected);
        let refused = server::identity::provider::OrganizationSpec { alias: world.own("long"), ..refused };
        assert_eq!(kind(provider.ensure_organization(&refused).await), FaultKind::Rejected);
    }
}

pub(crate) async fn an_update_writes_what_is_wanted_and_keeps_what_others_wrote(world: &dyn World) {
    let seen = foreign(&world.own("acme"), &[("color", "blue"), ("plan", "old")]);
    let id = OrganizationId(world.put_organization(seen.clone()).await);
    let mut wanted = wanted(tenant(), &seen.alias);
    let provider = world.provider();
    assert!(provider.update_organization(&id, &wanted).await.unwrap(), "it was on");
    let mut attributes = wanted.attributes.clone();
    attributes.insert("color".to_owned(), vec!["blue".to_owned()]);
    let mut expected = SeenOrganization {
        name: wanted.name.clone(),
        alias: seen.alias,
        enabled: true,
        attributes: attributes.clone(),
    };
    assert_eq!(world.organization(&id.0).await.unwrap(), expected);

    // No products any more: the attribute goes, and says so twice without harm.
    wanted.attributes.insert("products".to_owned(), Vec::new());
    expected.attributes.remove("products");
    for _ in 0..2 {
        provider.update_organization(&id, &wanted).await.unwrap();
        assert_eq!(world.organization(&id.0).await.unwrap(), expected);
    }
}

pub(crate) async fn an_organization_that_was_switched_off_stays_off(world: &dyn World) {
    let provider = world.provider();
    let mut spec = wanted(tenant(), &world.own("acme"));
    let id = provider.ensure_organization(&spec).await.unwrap();
    spec.enabled = Some(false);
    assert!(provider.update_organization(&id, &spec).await.unwrap(), "it was on");
    spec.attributes.insert("plan".to_owned(), vec!["enterprise".to_owned()]);
    assert!(!provider.update_organization(&id, &spec).await.unwrap(), "it was off");
    let seen = world.organization(&id.0).await.unwrap();
    assert!(!seen.enabled && seen.attributes == spec.attributes, "{seen:?}");
    assert_eq!(provider.ensure_organization(&spec).await.unwrap(), id);
    spec.enabled = Some(true);
    assert!(!provider.update_organization(&id, &spec).await.unwrap());
    assert!(world.organization(&id.0).await.unwrap().enabled);
}

pub(crate) async fn an_organization_that_is_not_there_cannot_be_changed(world: &dyn World) {
    let id = OrganizationId("00000000-0000-4000-8000-00000000dead".to_owned());
    let spec = wanted(tenant(), &world.own("acme"));
    assert_eq!(kind(world.provider().update_organization(&id, &spec).await), FaultKind::Gone);
    world.provider().delete_organization(&id, spec.tenant).await.unwrap();
}

pub(crate) async fn an_organization_is_deleted_and_its_accounts_stay(world: &dyn World) {
    let provider = world.provider();
    let spec = wanted(tenant(), &world.own("acme"));
    let email = format!("{}@example.com", spec.alias);
    let id = provider.ensure_organization(&spec).await.unwrap();
    let account = provider.ensure_account(&person(spec.tenant, &email), now()).await.unwrap().id;
    provider.ensure_member(&id, &account).await.unwrap();
    provider.ensure_admin(&id, &account).await.unwrap();
    for _ in 0..2 {
        provider.delete_organization(&id, spec.tenant).await.unwrap();
        assert_eq!(world.organization(&id.0).await, None);
    }
    let left = provider.get_account(&account).await.unwrap().unwrap();
    assert!(left.organizations.is_empty() && left.enabled, "{left:?}");
    let again = provider.ensure_organization(&spec).await.unwrap();
    assert_ne!(again, id, "another one of the same alias");
    assert_eq!(world.members(&again.0).await, Vec::<String>::new());
}

pub(crate) async fn of_many_that_want_one_organization_all_get_the_same(world: &dyn World) {
    let spec = wanted(tenant(), &world.own("acme"));
    let ids = join_all((0..8).map(|_| world.provider().ensure_organization(&spec))).await;
    let ids: BTreeMap<OrganizationId, ()> = ids.into_iter().map(|id| (id.unwrap(), ())).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}
