//! What each resolver reads in a request, and what it refuses to guess.

#![expect(clippy::expect_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tenancy::{
    ApiKeyResolver, ClaimResolver, ConstantResolver, HeaderResolver, HostError, HostResolver, PathResolver, Principal,
    PrincipalKind, RequestHead, Resolution, TenantId, TenantResolver, resolver_fn,
};

/// A request whose header lines are given as bytes, since faulty clients send more than text.
pub(crate) fn request(uri: &str, headers: &[(&str, &[u8])]) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = uri.parse().expect("a URI");
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        request.headers_mut().append(name, HeaderValue::from_bytes(value).expect("a header value"));
    }
    request
}

fn bad(code: &'static str) -> Resolution {
    Resolution::Reject { status: StatusCode::BAD_REQUEST, code }
}

fn mismatch() -> Resolution {
    Resolution::Reject { status: StatusCode::FORBIDDEN, code: "tenant_mismatch" }
}

#[track_caller]
fn check_header(lines: &[&[u8]], expected: Resolution) {
    let headers: Vec<_> = lines.iter().map(|line| ("X-Tenant-Id", *line)).collect();
    let request = request("/", &headers);
    assert_eq!(HeaderResolver::default().resolve(&RequestHead::of(&request)), expected);
}

#[test]
fn a_header_names_a_tenant_and_blanks_around_it_do_not_count() {
    check_header(&[b"acme"], Resolution::hint("acme"));
    check_header(&[b"  acme\t"], Resolution::hint("acme"));
    check_header(&[b"ACME"], Resolution::hint("ACME"));
    check_header(&[b"a b/c%2F"], Resolution::hint("a b/c%2F"));
}

#[test]
fn an_empty_header_is_an_absent_one() {
    check_header(&[], Resolution::NotMine);
    check_header(&[b""], Resolution::NotMine);
    check_header(&[b" \t "], Resolution::NotMine);
}

#[test]
fn a_header_that_comes_twice_is_refused_whatever_it_says() {
    check_header(&[b"acme", b"globex"], mismatch());
    check_header(&[b"acme", b"acme"], mismatch());
    check_header(&[b"acme", b""], mismatch());
    check_header(&[b"", b"acme"], mismatch());
    check_header(&[b"", b""], mismatch());
}

#[test]
fn a_header_that_a_proxy_joined_came_twice() {
    check_header(&[b"acme, globex"], mismatch());
    check_header(&[b"acme,acme"], mismatch());
    check_header(&[b"acme,"], mismatch());
    check_header(&[b","], mismatch());
}

#[test]
fn a_header_that_is_no_visible_ascii_is_refused_and_not_repaired() {
    check_header(&["bücher".as_bytes()], bad("invalid_tenant"));
    check_header(&[b"\xff\xfe"], bad("invalid_tenant"));
    check_header(&[b"ac\tme"], bad("invalid_tenant"));
    check_header(&[b"acme\xc2\xa0"], bad("invalid_tenant"));
}

#[test]
fn the_header_can_be_another_and_then_the_usual_one_is_not_read() {
    let resolver = HeaderResolver::named(HeaderName::from_static("x-org"));
    let both = request("/", &[("X-Tenant-Id", b"globex"), ("x-ORG", b"acme")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&both)), Resolution::hint("acme"));
    let usual = request("/", &[("X-Tenant-Id", b"globex")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&usual)), Resolution::NotMine);
}

#[test]
fn claims_are_read_of_tokens_and_keys_of_keys() {
    let bare = Request::new(());
    let head = RequestHead::of(&bare);
    let token = Principal::token("user-7").with_tenant("acme");
    let key = Principal::api_key("key-7").with_tenant("acme");

    assert_eq!(ClaimResolver.resolve(&head.with_principal(&token)), Resolution::proven("acme"));
    assert_eq!(ClaimResolver.resolve(&head.with_principal(&key)), Resolution::NotMine);
    assert_eq!(ApiKeyResolver.resolve(&head.with_principal(&key)), Resolution::proven("acme"));
    assert_eq!(ApiKeyResolver.resolve(&head.with_principal(&token)), Resolution::NotMine);
}

#[test]
fn nobody_and_unbound_principals_prove_nothing() {
    let bare = Request::new(());
    let head = RequestHead::of(&bare);
    let (token, key) = (Principal::token("operator"), Principal::api_key("operator"));
    for head in [head, head.with_principal(&token), head.with_principal(&key)] {
        assert_eq!(ClaimResolver.resolve(&head), Resolution::NotMine);
        assert_eq!(ApiKeyResolver.resolve(&head), Resolution::NotMine);
    }
}

#[track_caller]
fn check_path(prefix: &str, path: &str, expected: Resolution) {
    let request = request(path, &[]);
    assert_eq!(PathResolver::below(prefix).resolve(&RequestHead::of(&request)), expected, "{prefix} {path}");
}

#[test]
fn a_path_names_the_tenant_behind_its_prefix() {
    check_path("/t", "/t/acme", Resolution::hint("acme"));
    check_path("/t", "/t/acme/", Resolution::hint("acme"));
    check_path("/t", "/t/acme/orders?tenant=globex", Resolution::hint("acme"));
    check_path("/t", "https://example.com/t/acme/orders", Resolution::hint("acme"));
    check_path("/t", "/t/ACME", Resolution::hint("ACME"));
    check_path("/api/v1/t", "/api/v1/t/acme/orders", Resolution::hint("acme"));
    check_path("/t", "/t/acme/100%25/..", Resolution::hint("acme"));
}

#[test]
fn slashes_at_the_ends_of_a_prefix_make_no_difference() {
    for prefix in ["t", "/t", "t/", "/t/", "//t//"] {
        check_path(prefix, "/t/acme/orders", Resolution::hint("acme"));
    }
    for prefix in ["", "/"] {
        check_path(prefix, "/acme/orders", Resolution::hint("acme"));
        check_path(prefix, "/", Resolution::NotMine);
    }
}

#[test]
fn a_prefix_ends_at_a_segment_and_is_matched_as_it_stands() {
    for path in ["/", "/t", "/t/", "/orders", "/team/acme", "/tacme", "/T/acme", "/%74/acme", "//t/acme", "/x/t/acme"] {
        check_path("/t", path, Resolution::NotMine);
    }
    check_path("/t", "*", Resolution::NotMine);
    check_path("/t", "example.com:443", Resolution::NotMine);
}

#[test]
fn a_segment_that_another_reader_could_read_otherwise_is_refused() {
    for path in
        ["/t/ac%6de", "/t/acme%2f..%2fglobex/x", "/t/%/x", "/t//acme", "/t///", "/t/./acme", "/t/../t/acme", "/t/.."]
    {
        check_path("/t", path, bad("invalid_tenant"));
    }
    check_path("/t", "/t/acme\\..\\globex/x", bad("invalid_tenant"));
}

fn example_com() -> HostResolver {
    HostResolver::subdomain_of("Example.com.").expect("a host")
}

#[track_caller]
fn check_host(uri: &str, hosts: &[&[u8]], expected: Resolution) {
    let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
    let request = request(uri, &headers);
    assert_eq!(example_com().resolve(&RequestHead::of(&request)), expected);
}

#[test]
fn a_subdomain_names_a_tenant_in_every_spelling_of_the_host() {
    for host in
        ["acme.example.com", "ACME.Example.Com", "acme.example.com.", "acme.example.com:8443", " acme.example.com "]
    {
        check_host("/", &[host.as_bytes()], Resolution::hint("acme"));
    }
    check_host("/", &["bücher.example.com".as_bytes()], Resolution::hint("xn--bcher-kva"));
    check_host("https://acme.example.com:8443/orders", &[], Resolution::hint("acme"));
    check_host("acme.example.com:443", &[], Resolution::hint("acme"));
}

#[test]
fn other_hosts_are_nobodys() {
    for host in
        ["example.com", "a.b.example.com", "acme.example.org", "example.com.evil.test", "acmeexample.com", "[::1]:80"]
    {
        check_host("/", &[host.as_bytes()], Resolution::NotMine);
    }
    check_host("/", &[], Resolution::NotMine);
    check_host("/", &[b""], Resolution::NotMine);
}

#[test]
fn a_request_with_two_hosts_is_refused() {
    check_host("/", &[b"acme.example.com", b"globex.example.com"], mismatch());
    check_host("/", &[b"acme.example.com", b"acme.example.com"], mismatch());
    check_host("/", &[b"acme.example.com,globex.example.com"], mismatch());
    check_host("https://acme.example.com/", &[b"globex.example.com"], mismatch());
    check_host("https://acme.example.com/", &[b"example.org"], mismatch());
}

#[test]
fn an_authority_and_a_host_header_may_spell_one_host_differently() {
    check_host("https://acme.example.com/", &[b"ACME.example.com:443"], Resolution::hint("acme"));
    check_host("https://acme.example.com/", &[b""], Resolution::hint("acme"));
}

#[test]
fn what_is_no_host_is_refused_and_not_nobodys() {
    for host in [
        &b"a b.example.com"[..],
        b"acme.example.com:port",
        b"a..example.com",
        b"\xff.example.com",
        b"acme.example.com/x",
    ] {
        check_host("/", &[host], bad("invalid_host"));
    }
    check_host("https://acme.example.com/", &[b"a b"], bad("invalid_host"));
}

#[test]
fn a_host_can_be_mapped_by_a_closure_which_sees_normal_forms_only() {
    let hosts = HashMap::from([("shop.acme.example".to_owned(), TenantId::from("acme"))]);
    let resolver = HostResolver::new(move |host| hosts.get(host).cloned());
    let known = request("/", &[("host", b"SHOP.acme.example:8080")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&known)), Resolution::hint("acme"));
    let unknown = request("/", &[("host", b"globex.example")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&unknown)), Resolution::NotMine);
}

#[test]
fn a_host_that_is_excepted_is_nobodys() {
    let resolver = example_com().except("WWW.example.com").expect("a host");
    let www = request("/", &[("host", b"www.example.com:443")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&www)), Resolution::NotMine);
    let acme = request("/", &[("host", b"acme.example.com")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&acme)), Resolution::hint("acme"));
}

#[test]
fn nothing_is_below_an_address_or_no_host() {
    for parent in ["", "127.0.0.1", "::1", "*.example.com", "a b"] {
        assert!(HostResolver::subdomain_of(parent).is_err(), "{parent:?}");
    }
    assert_eq!(example_com().except("a b").err(), Some(HostError::Character(' ')));
    // Userinfo and port are dropped, as everywhere; what is left must not turn into an exact host.
    let resolver = HostResolver::subdomain_of("user@example.com:443").expect("a host");
    let parent = request("/", &[("host", b"example.com")]);
    assert_eq!(resolver.resolve(&RequestHead::of(&parent)), Resolution::NotMine);
}

#[test]
fn a_constant_is_a_hint_for_every_request() {
    let request = request("/anything", &[("x-tenant-id", b"globex")]);
    assert_eq!(ConstantResolver::new("acme").resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
}

#[test]
fn resolvers_are_objects_and_closures_can_be_resolvers() {
    fn is_resolver<R: TenantResolver + Send + Sync + 'static>(resolver: R) -> Resolution {
        let request = Request::new(());
        resolver.resolve(&RequestHead::of(&request).with_peer([192, 0, 2, 7]))
    }
    let by_peer = resolver_fn(|request: &RequestHead<'_>| match request.peer {
        Some(IpAddr::V4(peer)) => Resolution::hint(peer.to_string()),
        _ => Resolution::NotMine,
    });
    let shared: Arc<dyn TenantResolver> = Arc::new(by_peer);
    let boxed: Box<dyn TenantResolver> = Box::new(Arc::clone(&shared));
    assert_eq!(is_resolver(shared), Resolution::hint("192.0.2.7"));
    assert_eq!(is_resolver(boxed), Resolution::hint("192.0.2.7"));
}

#[test]
fn a_head_is_the_same_however_it_is_made() {
    let principal = Principal::token("user-7").with_tenant("acme").with_scopes(["a", "b"]);
    assert_eq!(
        principal,
        Principal {
            kind: PrincipalKind::Token,
            tenant: Some("acme".into()),
            subject: "user-7".to_owned(),
            scopes: vec!["a".to_owned(), "b".to_owned()],
        }
    );
    assert!(principal.has_scope("a") && !principal.has_scope("A") && !principal.has_scope(""));

    let (method, uri, headers) = (Method::GET, Uri::from_static("/orders"), HeaderMap::new());
    let literal =
        RequestHead { method: &method, uri: &uri, headers: &headers, principal: Some(&principal), peer: None };
    let request = request("/orders", &[]);
    let made = RequestHead::from(&request).with_principal(&principal);
    let (parts, ()) = request.clone().into_parts();
    let of_parts = RequestHead::from(&parts).with_principal(&principal);
    for head in [literal, made, of_parts] {
        assert_eq!((head.method, head.uri.path(), head.headers.len()), (&Method::GET, "/orders", 0));
        assert_eq!(head.principal, Some(&principal));
    }
}
