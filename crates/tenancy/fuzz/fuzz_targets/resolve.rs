//! Tenants that come, are replaced and go, and requests: the registry against a list that is read from end to end.
//!
//! Run by `cargo fuzz`. Without a validator nothing has to be waited for. Invariant: the registry routes as the list does,
//! and refuses a change exactly where a route in the list is another tenant's.
#![no_main]

use arbitrary::Arbitrary;
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use tenancy::{HostPattern, Register, RouteUrl, TenantConfig, TenantRegistry, normalize_host, path_of, prefix_covers};

#[derive(Arbitrary, Debug)]
struct Route {
    host: u8,
    wild: bool,
    segments: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Register(u8, Route, Vec<Route>),
    Replace(u8, Route, Vec<Route>),
    Unregister(u8),
    /// Whatever a request may carry for a path.
    Ask(u8, Vec<u8>, String),
    AskAnything(String, String),
}

const HOSTS: &[&str] = &["example", "a.example", "b.example", "x.a.example", "xn--bcher-kva.example"];
const SEGMENTS: &[&str] = &["a", "b", "ab", "%61", "~"];

fn host(number: u8) -> &'static str {
    HOSTS[usize::from(number) % HOSTS.len()]
}

fn path(segments: &[u8]) -> String {
    let text = |number: &u8| format!("/{}", SEGMENTS[usize::from(*number) % SEGMENTS.len()]);
    segments.iter().take(5).map(text).collect()
}

fn url(route: &Route) -> String {
    format!("https://{}{}{}", if route.wild { "*." } else { "" }, host(route.host), path(&route.segments))
}

struct Held {
    id: u8,
    route: RouteUrl,
    platform: usize,
}

fn linear<'a>(held: &'a [Held], host: &str, path: &str) -> Option<&'a Held> {
    let host = normalize_host(host).ok()?;
    let exact = |held: &&Held| held.route.host().as_str() == host;
    let wild = HostPattern::wildcard_of(&host);
    let above = |held: &&Held| wild.as_deref() == Some(held.route.host().as_str());
    let is_exact = held.iter().any(|held| exact(&held));
    held.iter()
        .filter(|held| if is_exact { exact(held) } else { above(held) })
        .filter(|held| prefix_covers(held.route.prefix(), path_of(path)))
        .max_by_key(|held| held.route.prefix().trim_end_matches('/').len())
}

fn read(first: &Route, more: &[Route]) -> Vec<RouteUrl> {
    let routes = std::iter::once(first).chain(more.iter().take(4));
    routes.map(|route| RouteUrl::parse(&url(route)).expect("of parts that are right")).collect()
}

fuzz_target!(|steps: Vec<Step>| {
    let registry: TenantRegistry<usize> = TenantRegistry::builder().build();
    let mut held: Vec<Held> = Vec::new();
    for (number, step) in steps.iter().take(64).enumerate() {
        let config = |first: &Route, more: &[Route]| {
            more.iter().take(4).fold(TenantConfig::new(url(first), number), |config, route| config.alias(url(route)))
        };
        let free = |held: &[Held], id: u8, routes: &[RouteUrl]| {
            let others = |route: &RouteUrl| held.iter().any(|held| held.id != id && held.route.same_route(route));
            !routes.iter().any(others)
        };
        let enter = |held: &mut Vec<Held>, id: u8, routes: Vec<RouteUrl>| {
            held.retain(|held| held.id != id);
            held.extend(routes.into_iter().map(|route| Held { id, route, platform: number }));
        };
        match step {
            Step::Register(id, first, more) => {
                let (id, routes) = (id % 6, read(first, more));
                let done = registry.register(id.to_string(), config(first, more), Register::default()).now_or_never();
                let allowed = !held.iter().any(|held| held.id == id) && free(&held, id, &routes);
                assert_eq!(done.expect("nothing to wait for").is_ok(), allowed);
                if allowed {
                    enter(&mut held, id, routes);
                }
            }
            Step::Replace(id, first, more) => {
                let (id, routes) = (id % 6, read(first, more));
                let done = registry.replace(&id.to_string(), config(first, more)).now_or_never();
                let allowed = held.iter().any(|held| held.id == id) && free(&held, id, &routes);
                assert_eq!(done.expect("nothing to wait for").is_ok(), allowed);
                if allowed {
                    enter(&mut held, id, routes);
                }
            }
            Step::Unregister(id) => {
                let id = id % 6;
                assert_eq!(registry.unregister(&id.to_string()), held.iter().any(|held| held.id == id));
                held.retain(|held| held.id != id);
            }
            Step::Ask(number, segments, tail) => {
                ask(&registry, &held, host(*number), &format!("{}{tail}", path(segments)));
                ask(&registry, &held, &format!("U@Y.{}.:80", host(*number).to_uppercase()), &path(segments));
            }
            Step::AskAnything(host, path) => ask(&registry, &held, host, path),
        }
    }
});

fn ask(registry: &TenantRegistry<usize>, held: &[Held], host: &str, path: &str) {
    let found =
        registry.resolve_by_request(host, path).ok().map(|found| (found.tenant_id.to_string(), *found.platform));
    let expected = linear(held, host, path).map(|held| (held.id.to_string(), held.platform));
    assert_eq!(found, expected, "{host:?} {path:?}");
}
