//! Look-ups: hosts as requests spell them, path prefixes on segment boundaries, wildcards, and whom they belong to.

use proptest::prelude::*;
use proptest::sample::select;
use tenancy::{HostPattern, Refusal, Register, RouteUrl, TenantConfig, normalize_host, prefix_covers};

use super::{Judge, Registry, at, enter, judged, nobody_at, open, permanent, serves};

/// Cases of the property at the end.
const CASES: u32 = 256;

async fn with(tenants: &[(&'static str, &str)]) -> Registry {
    let registry = open();
    for (id, url) in tenants {
        enter(&registry, id, url).await;
    }
    registry
}

#[tokio::test]
async fn a_host_is_found_however_a_request_spells_it() {
    let registry = with(&[
        ("acme", "https://acme.example.com"),
        ("six", "https://[2001:db8::1]"),
        ("buch", "https://bücher.example"),
    ])
    .await;
    for host in [
        "acme.example.com",
        "ACME.Example.COM",
        "acme.example.com.",
        "acme.example.com:443",
        "u:p@acme.example.com.:80",
    ] {
        serves(&registry, host, "/", "acme");
    }
    for host in ["2001:db8::1", "[2001:DB8:0::1]", "[2001:db8::1]:443"] {
        serves(&registry, host, "/", "six");
    }
    for host in ["xn--bcher-kva.example", "BÜCHER.example", "bu\u{308}cher.example:1"] {
        serves(&registry, host, "/", "buch");
    }
}

#[tokio::test]
async fn a_url_without_a_path_owns_its_whole_host() {
    let registry = with(&[("acme", "https://acme.example.com")]).await;
    for path in ["/", "", "*", "/a", "/a/b/c", "//", "/?a=/b", "/%2e%2e/x"] {
        serves(&registry, "acme.example.com", path, "acme");
    }
}

#[tokio::test]
async fn the_longest_prefix_on_a_segment_boundary_wins() {
    let registry = with(&[
        ("root", "https://example.com"),
        ("api", "https://example.com/api"),
        ("v2", "https://example.com/api/v2"),
    ])
    .await;
    for (path, platform) in [
        ("/", "root"),
        ("/apis", "root"),
        ("/ap", "root"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/v20", "api"),
        ("/api/v2", "v2"),
        ("/api/v2/", "v2"),
        ("/api/v2/orders/7", "v2"),
        ("/api?x=/v2", "api"),
        ("/api#/v2", "api"),
        ("/x/api/v2", "root"),
    ] {
        serves(&registry, "example.com", path, platform);
    }
}

#[tokio::test]
async fn with_a_path_a_url_owns_the_prefix_and_nothing_else() {
    let registry = with(&[("api", "https://example.com/api/")]).await;
    serves(&registry, "example.com", "/api", "api");
    serves(&registry, "example.com", "/api/x", "api");
    nobody_at(&registry, "example.com", "/");
    nobody_at(&registry, "example.com", "/apix");
    assert_eq!(registry.resolve_by_host("example.com").unwrap_err(), Refusal::UnknownHost);
}

#[tokio::test]
async fn a_path_is_matched_as_it_stands() {
    let registry = with(&[("api", "https://example.com/api"), ("esc", "https://example.com/a%2Fb")]).await;
    for path in ["/API", "/%61pi", "/x/../api", "/./api", "//api", "api", "/api%2F", "/a/b", "/a%2fb", "/ap\0i", "/ápi"]
    {
        nobody_at(&registry, "example.com", path);
    }
    // Below a prefix the rest is the tenant's own business.
    for path in ["/api/../x", "/api//", "/api/%00", "/api/\0", "/api/é"] {
        serves(&registry, "example.com", path, "api");
    }
    serves(&registry, "example.com", "/a%2Fb/c", "esc");
}

#[tokio::test]
async fn a_wildcard_matches_one_label() {
    let registry = with(&[("wild", "https://*.example.com")]).await;
    for host in ["a.example.com", "b-1.example.com", "A.EXAMPLE.com.:80", "xn--bcher-kva.example.com"] {
        serves(&registry, host, "/x", "wild");
    }
    for host in ["example.com", "a.b.example.com", ".example.com", "*.example.com", "aexample.com", "a.example.org"] {
        nobody_at(&registry, host, "/");
    }
}

#[tokio::test]
async fn an_exact_host_wins_over_a_wildcard() {
    let registry = with(&[("wild", "https://*.example.com"), ("exact", "https://a.example.com")]).await;
    serves(&registry, "a.example.com", "/", "exact");
    serves(&registry, "b.example.com", "/", "wild");
}

#[tokio::test]
async fn an_exact_host_shadows_a_wildcard_also_where_no_prefix_covers_the_path() {
    let registry = with(&[("wild", "https://*.example.com"), ("exact", "https://a.example.com/api")]).await;
    serves(&registry, "a.example.com", "/api", "exact");
    nobody_at(&registry, "a.example.com", "/");
    nobody_at(&registry, "A.example.com:80", "/other");
    serves(&registry, "b.example.com", "/api", "wild");
}

#[tokio::test]
async fn an_exact_host_shadows_a_wildcard_also_when_its_tenant_is_refused() {
    let judge = Judge::of("exact", permanent("wrong key"));
    let registry = judged(&judge).build();
    enter(&registry, "wild", "https://*.example.com").await;
    enter(&registry, "exact", "https://a.example.com").await;
    enter(&registry, "later", "https://b.example.com").await;
    assert_eq!(at(&registry, "a.example.com", "/"), Err(Refusal::Disabled { reason: "wrong key".into() }));
    assert!(registry.suspend("later", "not paid"));
    assert_eq!(at(&registry, "b.example.com", "/"), Err(Refusal::Suspended { reason: "not paid".into() }));
}

#[tokio::test]
async fn a_longer_prefix_that_is_refused_does_not_fall_back_to_a_shorter_one() {
    let judge = Judge::of("api", permanent("wrong key"));
    let registry = judged(&judge).build();
    enter(&registry, "root", "https://example.com").await;
    enter(&registry, "api", "https://example.com/api").await;
    assert!(matches!(at(&registry, "example.com", "/api/x"), Err(Refusal::Disabled { .. })));
    serves(&registry, "example.com", "/x", "root");
}

#[tokio::test]
async fn wildcards_have_prefixes_too() {
    let registry = with(&[("all", "https://*.example.com"), ("api", "https://*.example.com/api")]).await;
    serves(&registry, "a.example.com", "/x", "all");
    serves(&registry, "a.example.com", "/api/x", "api");
}

#[tokio::test]
async fn a_tenant_is_reached_by_every_one_of_its_urls_and_by_its_id() {
    let registry = open();
    let config = TenantConfig::new("https://acme.example.com", "acme")
        .alias("https://example.org/acme")
        .alias("https://*.acme.example");
    registry.register("acme", config, Register::default()).await.unwrap();
    serves(&registry, "acme.example.com", "/", "acme");
    serves(&registry, "example.org", "/acme/x", "acme");
    serves(&registry, "any.acme.example", "/x", "acme");
    let resolved = registry.get("acme").unwrap();
    assert_eq!((&*resolved.tenant_id, *resolved.platform, resolved.config_version), ("acme", "acme", 1));
    assert_eq!(registry.get("Acme").unwrap_err(), Refusal::UnknownTenant);
}

#[tokio::test]
async fn what_shadowed_a_wildcard_is_forgotten_with_its_last_route() {
    let registry =
        with(&[("wild", "https://*.example.com"), ("a", "https://x.example.com/a"), ("b", "https://x.example.com/b")])
            .await;
    assert!(registry.unregister("a"));
    nobody_at(&registry, "x.example.com", "/a");
    assert!(registry.unregister("b"));
    serves(&registry, "x.example.com", "/a", "wild");
}

fn host() -> impl Strategy<Value = &'static str> {
    select(&["example.com", "a.example.com", "b.example.com", "x.a.example.com", "127.0.0.1", "[::1]"][..])
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&["a", "b", "ab"][..]), 0..4)
        .prop_map(|segments| segments.iter().map(|segment| format!("/{segment}")).collect())
}

fn url() -> impl Strategy<Value = String> {
    let host = prop_oneof![3 => host(), 1 => select(&["*.example.com", "*.a.example.com"][..])];
    (host, path()).prop_map(|(host, path)| format!("https://{host}{path}"))
}

/// Reads every route, one after the other, as the rules say it.
fn linear(routes: &[(RouteUrl, usize)], host: &str, path: &str) -> Option<usize> {
    let host = normalize_host(host).ok()?;
    let exact = |route: &RouteUrl| !route.is_wildcard() && route.host().as_str() == host;
    let wild = |route: &RouteUrl| HostPattern::wildcard_of(&host).is_some_and(|wild| route.host().as_str() == wild);
    let is_exact = routes.iter().any(|(route, _)| exact(route));
    routes
        .iter()
        .filter(|(route, _)| if is_exact { exact(route) } else { wild(route) })
        .filter(|(route, _)| prefix_covers(route.prefix(), path))
        .max_by_key(|(route, _)| route.prefix().trim_end_matches('/').len())
        .map(|(_, tenant)| *tenant)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// Tenants come, and some go again.
    #[test]
    fn look_ups_agree_with_a_list_that_is_read_from_one_end_to_the_other(
        tenants in prop::collection::vec((prop::collection::vec(url(), 1..4), any::<bool>()), 0..12),
        requests in prop::collection::vec((host(), path(), select(&["", "/", "?a/b", "x"][..])), 16),
    ) {
        use futures_util::FutureExt;
        let registry = tenancy::TenantRegistry::builder().build();
        let mut routes: Vec<(RouteUrl, usize)> = Vec::new();
        for (tenant, (urls, _)) in tenants.iter().enumerate() {
            let parsed: Vec<RouteUrl> = urls.iter().filter_map(|url| RouteUrl::parse(url).ok()).collect();
            let free = |route: &RouteUrl| !routes.iter().any(|(held, _)| held.same_route(route));
            let (first, more) = urls.split_first().unwrap();
            let config = more.iter().fold(TenantConfig::new(first, tenant), |config, url| config.alias(url));
            let entered = registry.register(tenant.to_string(), config, Register::default()).now_or_never().unwrap();
            prop_assert_eq!(entered.is_ok(), parsed.iter().all(free));
            if entered.is_ok() {
                routes.extend(parsed.into_iter().map(|route| (route, tenant)));
            }
        }
        for (tenant, _) in tenants.iter().enumerate().filter(|(_, (_, leaves))| *leaves) {
            registry.unregister(&tenant.to_string());
            routes.retain(|(_, held)| *held != tenant);
        }
        for (host, path, tail) in requests {
            let path = format!("{path}{tail}");
            let found = registry.resolve_by_request(host, &path).ok().map(|resolved| *resolved.platform);
            prop_assert_eq!(found, linear(&routes, host, tenancy::path_of(&path)), "{}{}", host, path);
        }
    }
}
