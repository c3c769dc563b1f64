//! What every identity provider must do, each case written once: `suite!` stamps the list below onto the mock, the fake and a
//! real Keycloak, so that the first two cannot drift away from the third.
//!
//! Cases share a realm with each other, so each takes names of its own from [`World::own`]. Invariant: a case knows a
//! provider by its port, and looks at what came of it as somebody else would, by [`World`].

pub(crate) mod accounts;
pub(crate) mod members;
pub(crate) mod organizations;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Clock as _, TenantId, Timestamp};
use server::clock::SystemRng;
use server::identity::provider::{FaultKind, IdentityProvider, OrganizationSpec, Person, Result};

use crate::support::issuer::RealClock;

/// A case that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// An organization as somebody else sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenOrganization {
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) enabled: bool,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
}

/// An account as somebody else sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenAccount {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) enabled: bool,
}

/// A provider, and somebody else who can look at what is kept there and change it.
#[async_trait]
pub(crate) trait World: Send + Sync {
    /// A provider with a working mail server; none where this run leaves it out.
    async fn open() -> Option<Self>
    where
        Self: Sized;
    fn provider(&self) -> &dyn IdentityProvider;

    async fn organization(&self, id: &str) -> Option<SeenOrganization>;
    async fn put_organization(&self, seen: SeenOrganization) -> String;
    async fn members(&self, organization: &str) -> Vec<String>;
    async fn admins(&self, organization: &str) -> Vec<String>;
    async fn accounts(&self, email: &str) -> Vec<SeenAccount>;
    async fn put_account(&self, email: &str, enabled: bool) -> String;
    async fn set_password(&self, account: &str);
    async fn remove_account(&self, account: &str);
    async fn mails(&self, email: &str) -> usize;

    /// A name that no other case has.
    fn own(&self, name: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs one case.
pub(crate) async fn run<W: World>(name: &str, case: impl AsyncFnOnce(&dyn World)) {
    let Some(world) = W::open().await else { return };
    tokio::time::timeout(LIMIT, case(&world)).await.unwrap_or_else(|_| panic!("{name} takes longer than {LIMIT:?}"));
}

/// Stamps one test per case onto a world.
macro_rules! suite {
    ($name:ident, $world:ty) => {
        $crate::identity::suite::suite! { @stamp ($name, $world)
            // Add yours here.
            organizations {
                a_provider_with_everything_passes_the_probe
                an_organization_is_made_once_as_it_is_wanted
                organizations_of_similar_aliases_are_told_apart
                an_organization_without_a_tenant_is_found_and_not_changed
                an_organization_of_another_tenant_is_left_alone
                a_name_that_another_organization_has_is_a_conflict
                names_may_have_255_characters_and_no_more
                an_update_writes_what_is_wanted_and_keeps_what_others_wrote
                an_organization_that_was_switched_off_stays_off
                an_organization_that_is_not_there_cannot_be_changed
                an_organization_is_deleted_and_its_accounts_stay
                of_many_that_want_one_organization_all_get_the_same
            }
            accounts {
                an_account_is_made_once_and_is_ours
                addresses_are_compared_whole_and_without_case
                an_account_of_somebody_else_is_found_and_stays_as_it_is
                an_account_made_for_one_tenant_is_ours_for_another
                an_address_that_is_none_is_refused
                of_many_that_want_one_account_all_get_the_same
                an_account_tells_what_it_has
                an_account_is_switched_off_and_on_and_keeps_the_rest
                an_account_is_deleted_once
                ids_that_are_none_are_nothing
                an_invitation_is_mailed_and_its_link_found
                without_a_mail_there_is_the_login_page
                an_invitation_needs_an_account_that_may_log_in
            }
            members {
                a_member_is_added_once
                an_administrator_is_made_once
                an_administrator_has_to_be_a_member
                a_member_needs_an_account_and_an_organization
                an_account_may_be_a_member_of_several
                of_many_that_make_one_administrator_all_succeed
                a_deleted_account_is_a_member_of_nothing
            }
        }
    };
    (@stamp ($name:ident, $world:ty) $($file:ident { $($case:ident)+ })+) => {
        mod $name {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::identity::suite::run::<$world>(stringify!($case), $crate::identity::suite::$file::$case).await;
                }
            )+)+
        }
    };
}
pub(crate) use suite;

/// A tenant that nobody else is.
pub(crate) fn tenant() -> TenantId {
    TenantId::generate(&RealClock, &SystemRng::default())
}

/// What a tenant of that slug wants.
pub(crate) fn wanted(tenant: TenantId, slug: &str) -> OrganizationSpec {
    let attributes =
        [("tenant_id", tenant.to_string()), ("plan", "starter".to_owned()), ("status", "active".to_owned())];
    let mut attributes: BTreeMap<String, Vec<String>> =
        attributes.into_iter().map(|(key, value)| (key.to_owned(), vec![value])).collect();
    attributes.insert("products".to_owned(), vec!["analytics".to_owned(), "voice-agents".to_owned()]);
    OrganizationSpec {
        tenant,
        alias: slug.to_owned(),
        name: format!("Müller & Söhne ({slug})"),
        attributes,
        enabled: Some(true),
    }
}

/// Somebody to invite.
pub(crate) fn person(tenant: TenantId, email: &str) -> Person {
    Person { tenant, email: email.to_owned(), first_name: "Jörg".to_owned(), last_name: "Müßig".to_owned() }
}

pub(crate) fn now() -> Timestamp {
    RealClock.now()
}

/// The kind of fault that a call ended with.
#[track_caller]
pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> FaultKind {
    match outcome {
        Err(error) => error.kind,
        Ok(done) => panic!("no fault: {done:?}"),
    }
}
