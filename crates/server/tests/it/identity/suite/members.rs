//! Members and administrators of organizations.

use futures_util::future::join_all;
use server::identity::provider::{AccountId, FaultKind, OrganizationId};

use super::{World, kind, now, person, tenant, wanted};

/// An organization and an account, not yet a member.
async fn pair(world: &dyn World) -> (OrganizationId, AccountId) {
    let spec = wanted(tenant(), &world.own("acme"));
    let email = format!("{}@example.com", spec.alias);
    let organization = world.provider().ensure_organization(&spec).await.unwrap();
    let account = world.provider().ensure_account(&person(spec.tenant, &email), now()).await.unwrap();
    (organization, account.id)
}

pub(crate) async fn a_member_is_added_once(world: &dyn World) {
    let (organization, account) = pair(world).await;
    for _ in 0..2 {
        world.provider().ensure_member(&organization, &account).await.unwrap();
        assert_eq!(world.members(&organization.0).await, std::slice::from_ref(&account.0));
    }
    assert_eq!(world.admins(&organization.0).await, Vec::<String>::new());
    let all = join_all((0..6).map(|_| world.provider().ensure_member(&organization, &account))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

pub(crate) async fn an_administrator_is_made_once(world: &dyn World) {
    let (organization, account) = pair(world).await;
    world.provider().ensure_member(&organization, &account).await.unwrap();
    for _ in 0..2 {
        world.provider().ensure_admin(&organization, &account).await.unwrap();
        assert_eq!(world.admins(&organization.0).await, std::slice::from_ref(&account.0));
    }
}

pub(crate) async fn an_administrator_has_to_be_a_member(world: &dyn World) {
    let (organization, account) = pair(world).await;
    assert_eq!(kind(world.provider().ensure_admin(&organization, &account).await), FaultKind::Gone);
    assert_eq!(world.admins(&organization.0).await, Vec::<String>::new());
    assert_eq!(world.members(&organization.0).await, Vec::<String>::new());
}

pub(crate) async fn a_member_needs_an_account_and_an_organization(world: &dyn World) {
    let (organization, account) = pair(world).await;
    let nobody = AccountId("00000000-0000-4000-8000-00000000dead".to_owned());
    let nothing = OrganizationId(nobody.0.clone());
    let provider = world.provider();
    assert_eq!(kind(provider.ensure_member(&organization, &nobody).await), FaultKind::Gone);
    assert_eq!(kind(provider.ensure_member(&nothing, &account).await), FaultKind::Gone);
    assert_eq!(kind(provider.ensure_admin(&nothing, &account).await), FaultKind::Gone);
    assert_eq!(kind(provider.ensure_admin(&organization, &nobody).await), FaultKind::Gone);
}

pub(crate) async fn an_account_may_be_a_member_of_several(world: &dyn World) {
    let provider = world.provider();
    let ((first, account), (second, _)) = (pair(world).await, pair(world).await);
    provider.ensure_member(&first, &account).await.unwrap();
    provider.ensure_member(&second, &account).await.unwrap();
    provider.ensure_admin(&second, &account).await.unwrap();
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(provider.get_account(&account).await.unwrap().unwrap().organizations, both);
    assert_eq!(world.admins(&first.0).await, Vec::<String>::new());
    assert_eq!(world.admins(&second.0).await, [account.0]);
}

pub(crate) async fn of_many_that_make_one_administrator_all_succeed(world: &dyn World) {
    let (organization, account) = pair(world).await;
    world.provider().ensure_member(&organization, &account).await.unwrap();
    let all = join_all((0..8).map(|_| world.provider().ensure_admin(&organization, &account))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(world.admins(&organization.0).await, [account.0]);
}

pub(crate) async fn a_deleted_account_is_a_member_of_nothing(world: &dyn World) {
    let (organization, account) = pair(world).await;
    let provider = world.provider();
    provider.ensure_member(&organization, &account).await.unwrap();
    world.remove_account(&account.0).await;
    assert_eq!(world.members(&organization.0).await, Vec::<String>::new());
    assert_eq!(kind(provider.ensure_member(&organization, &account).await), FaultKind::Gone);
    assert_eq!(kind(provider.ensure_admin(&organization, &account).await), FaultKind::Gone);
    assert_eq!(kind(provider.send_invitation(&account).await), FaultKind::Gone);
}
