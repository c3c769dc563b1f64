//! Cases about lists: their order, their pages, their filters.
//!
//! Invariant of the cases: what is expected is written out, in an order that a language's collation would not give.

use std::sync::Arc;

use domain::{Plan, Status, Tenant, TenantId};

use crate::port::{AuditFilter, Page, Scope, Store, TenantFilter, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{create, first, later, now, tenant, tenant_at};

fn everything() -> TenantFilter {
    TenantFilter { now: now(), ..TenantFilter::default() }
}

async fn slugs(store: &Arc<dyn Store>, filter: &TenantFilter, page: Page<TenantId>) -> Vec<String> {
    let tenants = store.read(Scope::Platform).await.unwrap().list_tenants(filter, page).await.unwrap();
    tenants.into_iter().map(|tenant| tenant.slug.to_string()).collect()
}

async fn found(store: &Arc<dyn Store>, text: &str) -> Vec<String> {
    let filter = TenantFilter { text: Some(text.to_owned()), ..everything() };
    let mut found = slugs(store, &filter, first(100)).await;
    found.sort();
    found
}

async fn create_all(store: &Arc<dyn Store>, slugs: &[&str]) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for slug in slugs {
        let tenant = tenant_at(slug, &[&format!("https://{slug}.example/b"), &format!("https://{slug}.example/a")]);
        create(store, &tenant).await.unwrap();
        tenants.push(tenant);
    }
    tenants
}

pub async fn tenants_are_listed_newest_first(backend: &dyn Backend) {
    let store = backend.store();
    let mut tenants = create_all(&store, &["mmm", "aaa", "zzz"]).await;
    tenants.reverse();
    let listed = store.read(Scope::Platform).await.unwrap().list_tenants(&everything(), first(10)).await.unwrap();
    assert_eq!(listed, tenants, "whole, with their hosts in order");
}

pub async fn pages_neither_repeat_nor_skip_while_tenants_are_added(backend: &dyn Backend) {
    let store = backend.store();
    let tenants = create_all(&store, &["t-0", "t-1", "t-2", "t-3", "t-4", "t-5", "t-6"]).await;
    let (mut seen, mut after) = (Vec::new(), None);
    for page in 0.. {
        let view =
            store.read(Scope::Platform).await.unwrap().list_tenants(&everything(), Page { after, limit: 3 }).await;
        let listed = view.unwrap();
        assert!(listed.len() <= 3);
        let Some(last) = listed.last() else { break };
        after = Some(last.id);
        seen.extend(listed.into_iter().map(|tenant| tenant.id));
        create(&store, &tenant(&format!("between-{page}"))).await.unwrap();
    }
    assert_eq!(seen, tenants.iter().rev().map(|tenant| tenant.id).collect::<Vec<_>>());
}

pub async fn filters_narrow_the_list(backend: &dyn Backend) {
    let store = backend.store();
    let mut acme = tenant("acme");
    acme.plan = Plan::Enterprise;
    create(&store, &acme).await.unwrap();
    create(&store, &tenant("globex")).await.unwrap();
    let check = async |filter: TenantFilter, expected: &[&str]| {
        assert_eq!(slugs(&store, &filter, first(10)).await, expected, "{filter:?}");
    };
    check(everything(), &["globex", "acme"]).await;
    check(TenantFilter { id: Some(acme.id), ..everything() }, &["acme"]).await;
    check(TenantFilter { plan: Some(Plan::Starter), ..everything() }, &["globex"]).await;
    check(TenantFilter { plan: Some(Plan::Professional), ..everything() }, &[]).await;
    check(TenantFilter { text: Some("lobe".to_owned()), ..everything() }, &["globex"]).await;
    let both = TenantFilter { text: Some("acme".to_owned()), plan: Some(Plan::Starter), ..everything() };
    check(both, &[]).await;
}

pub async fn the_status_filter_reads_by_the_clock(backend: &dyn Backend) {
    let store = backend.store();
    let (mut ends_now, mut runs, mut paid) = (tenant("ends-now"), tenant("runs"), tenant("paid"));
    ends_now.trial_ends_at = Some(now());
    runs.trial_ends_at = Some(later(1));
    paid.trial_ends_at = Some(later(-5));
    paid.activate(now()).unwrap();
    let mut cancelled = tenant("cancelled");
    cancelled.cancel(now()).unwrap();
    for tenant in [ends_now, runs, paid, cancelled] {
        create(&store, &tenant).await.unwrap();
    }
    let check = async |status, seconds, expected: &[&str]| {
        let filter = TenantFilter { status: Some(status), now: later(seconds), ..TenantFilter::default() };
        assert_eq!(slugs(&store, &filter, first(10)).await, expected, "{status} after {seconds} s");
    };
    check(Status::Trial, -1, &["runs", "ends-now"]).await;
    check(Status::Frozen, -1, &["cancelled"]).await;
    check(Status::Trial, 0, &["runs"]).await;
    check(Status::Frozen, 0, &["cancelled", "ends-now"]).await;
    check(Status::Trial, 1, &[]).await;
    check(Status::Frozen, 1, &["cancelled", "runs", "ends-now"]).await;
    check(Status::Active, 1, &["paid"]).await;
}

pub async fn no_character_of_the_text_filter_is_a_wildcard(backend: &dyn Backend) {
    let store = backend.store();
    for (slug, name) in
        [("aaa", "100% sure"), ("bbb", "a_b"), ("ccc", r"a\b"), ("ddd", "a b *?[x]"), ("eee", "1000 sure")]
    {
        let mut tenant = tenant(slug);
        tenant.name = name.to_owned();
        create(&store, &tenant).await.unwrap();
    }
    let check = async |text: &str, expected: &[&str]| assert_eq!(found(&store, text).await, expected, "{text:?}");
    check("%", &["aaa"]).await;
    check("0% s", &["aaa"]).await;
    check("_", &["bbb"]).await;
    check("a_b", &["bbb"]).await;
    check(r"\", &["ccc"]).await;
    check(r"\b", &["ccc"]).await;
    check("*", &["ddd"]).await;
    check("?", &["ddd"]).await;
    check("[x]", &["ddd"]).await;
    check("%_", &[]).await;
    check(r"\%", &[]).await;
    check("", &["aaa", "bbb", "ccc", "ddd", "eee"]).await;
    check("a b", &["ddd"]).await;
    check("sure", &["aaa", "eee"]).await;
}

pub async fn the_text_filter_ignores_case(backend: &dyn Backend) {
    let store = backend.store();
    for (slug, name) in
        [("street", "Straße"), ("odos", "ΟΔΟΣ"), ("istanbul", "İzmir"), ("aerger", "ÄRGER"), ("plain", "Acme Inc")]
    {
        let mut tenant = tenant(slug);
        tenant.name = name.to_owned();
        create(&store, &tenant).await.unwrap();
    }
    let check = async |text: &str, expected: &[&str]| assert_eq!(found(&store, text).await, expected, "{text:?}");
    check("STRASSE", &["street"]).await;
    check("straße", &["street"]).await;
    check("strasse", &["street"]).await;
    check("οδος", &["odos"]).await;
    check("οδοσ", &["odos"]).await;
    check("ΟΔΟΣ", &["odos"]).await;
    check("δος", &["odos"]).await;
    check("İZMİR", &[]).await;
    check("İzmir", &["istanbul"]).await;
    check("i\u{307}ZMIR", &["istanbul"]).await;
    check("ärger", &["aerger"]).await;
    check("ACME", &["plain"]).await;
    check("STREET", &["street"]).await;
}

pub async fn routes_are_paged_in_the_order_of_their_bytes(backend: &dyn Backend) {
    let store = backend.store();
    // A language's collation looks past punctuation and case; the bytes do not.
    let urls = [
        "https://z.example",
        "https://a-b.example",
        "https://a.b.example",
        "https://ab.example",
        "https://a.example/b",
        "https://a.example/B",
        "https://a.example/a-b",
        "https://a.example/a.b",
        "https://a.example/A",
        "https://a.example/~",
        "https://a.example/a/b",
        "https://a.example/a",
        "https://ä.example",
        "https://*.a.example",
        "https://1.example",
        "https://[2001:db8::1]",
        "https://10.0.0.1",
        "https://9.0.0.1",
    ];
    let tenant = tenant_at("acme", &urls);
    create(&store, &tenant).await.unwrap();
    let mut expected: Vec<_> = tenant.hosts.iter().map(|route| (route.host.clone(), route.prefix.clone())).collect();
    expected.sort_by(|a, b| (a.0.as_bytes(), a.1.as_bytes()).cmp(&(b.0.as_bytes(), b.1.as_bytes())));
    for limit in [1, 2, 5, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let routes = store.read(Scope::Platform).await.unwrap().list_routes(after, limit).await.unwrap();
            let Some(last) = routes.last() else { break };
            after = Some((last.route.host.clone(), last.route.prefix.clone()));
            assert!(routes.len() <= limit && routes.iter().all(|route| route.tenant_id == tenant.id));
            seen.extend(routes.into_iter().map(|route| (route.route.host, route.route.prefix)));
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

pub async fn routes_of_a_host_come_in_the_order_of_their_prefixes(backend: &dyn Backend) {
    let store = backend.store();
    let (one, two) = (
        tenant_at("one", &["https://a.example/b", "https://a.example/B", "https://*.a.example"]),
        tenant_at("two", &["https://a.example", "https://a.example/a"]),
    );
    create(&store, &one).await.unwrap();
    create(&store, &two).await.unwrap();
    let mut view = store.read(Scope::Platform).await.unwrap();
    let routes = view.routes_of_host("a.example").await.unwrap();
    let seen: Vec<_> = routes.iter().map(|route| (route.route.prefix.as_str(), route.tenant_id)).collect();
    assert_eq!(seen, [("/", two.id), ("/B", one.id), ("/a", two.id), ("/b", one.id)]);
    assert_eq!(view.routes_of_host("*.a.example").await.unwrap().len(), 1, "a wildcard is asked for by its own text");
    assert_eq!(view.routes_of_host("x.a.example").await.unwrap(), []);
}

pub async fn page_limits_may_be_as_large_as_numbers_get(backend: &dyn Backend) {
    let store = backend.store();
    create_all(&store, &["acme", "globex"]).await;
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert_eq!(view.list_tenants(&everything(), first(usize::MAX)).await.unwrap().len(), 2);
    assert_eq!(view.list_routes(None, usize::MAX).await.unwrap().len(), 4);
    assert_eq!(view.list_audit_events(&AuditFilter::default(), first(usize::MAX)).await.unwrap().len(), 2);
    assert_eq!(view.list_tenants(&everything(), first(0)).await.unwrap().len(), 0);
    drop(view);
    assert_eq!(store.changes(Default::default(), usize::MAX).await.unwrap().changes.len(), 6);
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.lock_ended_trials(later(365 * 86_400), usize::MAX).await.unwrap().len(), 2);
    assert_eq!(tx.purge(now(), usize::MAX).await.unwrap(), 0);
    assert_eq!(tx.detach_audit_events(usize::MAX, now()).await.unwrap(), 0);
    tx.commit_unaudited(Unaudited::JobBookkeeping).await.unwrap();
}
