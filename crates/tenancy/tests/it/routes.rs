//! Route URLs and path prefixes: what is shown for what was registered, what is refused, and what a prefix covers.

use proptest::prelude::*;
use tenancy::{HostError, RouteUrl, UrlError, longest_prefix, path_of, prefix_covers, prefixes_overlap};

use crate::near::{near_url, route_url};

#[track_caller]
fn check(input: &str, shown: &str, host: &str, prefix: &str) {
    let url = RouteUrl::parse(input);
    let Ok(url) = url else { unreachable!("{input:?} gave {url:?}") };
    assert_eq!(url.to_string(), shown);
    assert_eq!(url.key(), (host, prefix));
    assert_eq!((url.host().as_str(), url.prefix()), (host, prefix));
    assert_eq!(RouteUrl::parse(shown), Ok(url));
}

#[track_caller]
fn refused(input: &str, error: UrlError) {
    assert_eq!(RouteUrl::parse(input), Err(error), "{input:?}");
}

#[test]
fn urls_are_shown_in_normal_form() {
    check("https://acme.example.com", "https://acme.example.com", "acme.example.com", "/");
    check("https://acme.example.com/", "https://acme.example.com", "acme.example.com", "/");
    check("HTTPS://ACME.Example.com./", "https://acme.example.com", "acme.example.com", "/");
    check("https://acme.example.com/api", "https://acme.example.com/api", "acme.example.com", "/api");
    check("https://acme.example.com/api/", "https://acme.example.com/api", "acme.example.com", "/api");
    check("http://acme.example.com/a/b/c/", "http://acme.example.com/a/b/c", "acme.example.com", "/a/b/c");
    check("https://user:secret@acme.example.com/", "https://acme.example.com", "acme.example.com", "/");
    check("https://bücher.example/x", "https://xn--bcher-kva.example/x", "xn--bcher-kva.example", "/x");
    check("https://0x7f.1", "https://127.0.0.1", "127.0.0.1", "/");
    check("https://[::1]:8443/app", "https://[::1]:8443/app", "::1", "/app");
    check("https://[0:0::1]", "https://[::1]", "::1", "/");
    check("https://*.Example.com/api/", "https://*.example.com/api", "*.example.com", "/api");
}

#[test]
fn ports_are_shown_unless_they_are_the_default() {
    check("https://a.example:443", "https://a.example", "a.example", "/");
    check("https://a.example:0443/", "https://a.example", "a.example", "/");
    check("https://a.example:80", "https://a.example:80", "a.example", "/");
    check("http://a.example:80/x", "http://a.example/x", "a.example", "/x");
    check("http://a.example:443/x", "http://a.example:443/x", "a.example", "/x");
    check("http://a.example:/x", "http://a.example/x", "a.example", "/x");
    check("http://a.example:65535", "http://a.example:65535", "a.example", "/");
    assert_eq!(
        RouteUrl::parse("http://a.example:8080").map(|url| (url.scheme(), url.port())),
        Ok(("http", Some(8080)))
    );
    assert_eq!(RouteUrl::parse("HTTPS://a.example:443").map(|url| (url.scheme(), url.port())), Ok(("https", None)));
}

#[test]
fn path_is_kept_as_it_stands() {
    check("http://a.example/API", "http://a.example/API", "a.example", "/API");
    check("http://a.example/%61%2f%2F", "http://a.example/%61%2f%2F", "a.example", "/%61%2f%2F");
    check("http://a.example/a:b@c;d=e,f", "http://a.example/a:b@c;d=e,f", "a.example", "/a:b@c;d=e,f");
    check("http://a.example/~x/.well-known", "http://a.example/~x/.well-known", "a.example", "/~x/.well-known");
    check("http://a.example/.../a..b", "http://a.example/.../a..b", "a.example", "/.../a..b");
}

#[test]
fn what_is_no_route_is_refused_for_its_own_reason() {
    for none in
        ["", "acme.example.com", "//acme.example.com", "://acme.example.com", "https:/a", "https:a", "user:pw@a/b://c"]
    {
        refused(none, UrlError::MissingScheme);
    }
    refused("ftp://a.example", UrlError::OtherScheme("ftp".to_owned()));
    refused("httpss://a.example", UrlError::OtherScheme("httpss".to_owned()));
    for none in ["https://", "https:///x", "https://:443", "https://user@/", "https://./"] {
        refused(none, UrlError::MissingHost);
    }
    for port in ["https://a:0", "https://a:00", "https://a:65536/", "https://a:x", "https://a:-1", "https://user:pw/@a"]
    {
        refused(port, UrlError::Port);
    }
    refused("https://a?", UrlError::Query);
    refused("https://a/b?c=d", UrlError::Query);
    refused("https://a#", UrlError::Fragment);
    refused("https://a/#b", UrlError::Fragment);
    refused("https://a\\b", UrlError::Backslash);
    refused("https://a/b\\c", UrlError::Backslash);
    refused("https://a/b c", UrlError::Character(' '));
    refused(" https://a", UrlError::Character(' '));
    refused("https://a/\u{a0}", UrlError::Character('\u{a0}'));
    refused("https://a\t.example", UrlError::Character('\t'));
    refused("https://a/\0", UrlError::Character('\0'));
    refused("https://a/\u{7f}", UrlError::Character('\u{7f}'));
    refused("https://a/\r\nx", UrlError::Character('\r'));
    refused("https://a/{id}", UrlError::Character('{'));
    refused("https://a/é", UrlError::NonAsciiPath('é'));
    refused("https://a/😀", UrlError::NonAsciiPath('😀'));
    for escape in ["https://a/%", "https://a/%2", "https://a/%zz", "https://a/%2/f", "https://a/%%41", "https://a/b%2"]
    {
        refused(escape, UrlError::PercentEscape);
    }
    for dots in ["/.", "/..", "/./", "/../", "/a/./b", "/a/../b", "/%2e", "/%2E%2e/x", "/.%2e", "/a/%2E"] {
        refused(&format!("https://a{dots}"), UrlError::DotSegment);
    }
    for empty in ["//", "//a", "/a//", "/a//b", "/a///"] {
        refused(&format!("https://a{empty}"), UrlError::EmptySegment);
    }
    refused("https://::1/", UrlError::UnbracketedIpv6);
    refused("https://::1:8080/", UrlError::UnbracketedIpv6);
    refused("https://a/http://b", UrlError::EmptySegment);
}

#[test]
fn refused_hosts_say_what_the_host_lacks() {
    refused("https://a..b/", UrlError::Host(HostError::EmptyLabel));
    refused("https://*/", UrlError::Host(HostError::Wildcard));
    refused("https://*.1.2.3.4/", UrlError::Host(HostError::Wildcard));
    refused("https://a%62/", UrlError::Host(HostError::Character('%')));
    refused("https://1.2.3.256", UrlError::Host(HostError::Ipv4("1.2.3.256".to_owned())));
    refused("https://[::1", UrlError::Host(HostError::Ipv6("[::1".to_owned())));
    refused("https://a:b:c/", UrlError::Host(HostError::Ipv6("a:b:c".to_owned())));
    refused(&format!("https://{}/", "a".repeat(300)), UrlError::Host(HostError::TooLong { limit: 253 }));
}

#[test]
fn length_limit_is_that_of_the_whole_url() {
    let base = "https://a.example/";
    assert!(RouteUrl::parse(&format!("{base}{}", "x".repeat(2_048 - base.len()))).is_ok());
    refused(&format!("{base}{}", "x".repeat(2_049 - base.len())), UrlError::TooLong { limit: 2_048 });
}

#[test]
fn one_route_has_many_urls() {
    #[track_caller]
    fn same(a: &str, b: &str, expected: bool) {
        let (Ok(a), Ok(b)) = (RouteUrl::parse(a), RouteUrl::parse(b)) else { unreachable!("{a}, {b}") };
        assert_eq!((a.same_route(&b), b.same_route(&a)), (expected, expected), "{a}, {b}");
    }
    same("https://a.example", "http://A.example.:8080/", true);
    same("https://a.example/x", "https://a.example/x/", true);
    same("https://a.example/x", "https://a.example/X", false);
    same("https://a.example/x", "https://a.example/%78", false);
    same("https://a.example/x", "https://a.example", false);
    same("https://*.example", "https://a.example", false);
}

#[test]
fn prefix_covers_on_segment_boundaries() {
    for (prefix, path, covers) in [
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a", "/a/b", true),
        ("/a", "/a//b", true),
        ("/a", "/ab", false),
        ("/a", "/A", false),
        ("/a", "/%61", false),
        ("/a", "/", false),
        ("/a", "", false),
        ("/a", "a", false),
        ("/a/", "/a", true),
        ("/a/", "/ab", false),
        ("/a/b", "/a", false),
        ("/a/b", "/a/b/c", true),
        ("/", "/", true),
        ("/", "/a", true),
        ("/", "*", true),
        ("/", "", true),
        ("", "/a", true),
    ] {
        assert_eq!(prefix_covers(prefix, path), covers, "{prefix:?} and {path:?}");
    }
}

#[test]
fn overlap_means_that_one_covers_the_other() {
    for (a, b, overlap) in [
        ("/", "/", true),
        ("/", "/a", true),
        ("/a", "/a", true),
        ("/a/", "/a", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a/b", "/a/c", false),
    ] {
        assert_eq!((prefixes_overlap(a, b), prefixes_overlap(b, a)), (overlap, overlap), "{a:?} and {b:?}");
    }
}

#[test]
fn longest_prefix_wins_whatever_the_order() {
    #[track_caller]
    fn longest(prefixes: &[&'static str], path: &str, expected: Option<&str>) {
        let candidates = || prefixes.iter().map(|prefix| (*prefix, ()));
        assert_eq!(longest_prefix(candidates(), path), expected.map(|prefix| (prefix, ())));
        assert_eq!(longest_prefix(candidates().rev(), path), expected.map(|prefix| (prefix, ())));
    }
    longest(&["/", "/a", "/a/b"], "/a/b/c", Some("/a/b"));
    longest(&["/", "/a", "/a/b"], "/a/bc", Some("/a"));
    longest(&["/", "/a", "/a/b"], "/ab", Some("/"));
    longest(&["/a", "/a/b"], "/", None);
    longest(&[], "/", None);
    assert_eq!(longest_prefix([("/a", 1), ("/a", 2)], "/a"), Some(("/a", 1)));
}

#[test]
fn path_ends_at_query_and_fragment() {
    for (target, path) in
        [("/a", "/a"), ("/a?b", "/a"), ("/a#b?c", "/a"), ("/a?b#c", "/a"), ("?a", "/"), ("", "/"), ("/", "/")]
    {
        assert_eq!(path_of(target), path, "{target:?}");
    }
}

/// The definition by segments, without any care for cost.
fn covers_by_segments(prefix: &str, path: &str) -> bool {
    let prefix: Vec<_> = prefix.split('/').filter(|segment| !segment.is_empty()).collect();
    let path: Vec<_> = path.split('/').skip(1).collect();
    path.starts_with(&prefix)
}

proptest! {
    #[test]
    fn accepted_urls_round_trip(input in route_url()) {
        if let Ok(url) = RouteUrl::parse(&input) {
            prop_assert_eq!(RouteUrl::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn near_urls_never_panic_and_round_trip(input in near_url()) {
        if let Ok(url) = RouteUrl::parse(&input) {
            prop_assert!(prefix_covers(url.prefix(), url.prefix()));
            prop_assert_eq!(RouteUrl::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(input in any::<String>()) {
        let _ = RouteUrl::parse(&input);
        let _ = RouteUrl::parse(&format!("https://{input}"));
        let _ = RouteUrl::parse(&format!("https://a.example/{input}"));
    }

    #[test]
    fn longest_prefix_agrees_with_the_definition(
        prefixes in prop::collection::vec("/|(/[ab]{1,2}){1,3}", 0..6),
        path in "(/[ab]{0,2}){1,4}",
    ) {
        let model = prefixes.iter().filter(|prefix| covers_by_segments(prefix, &path)).map(String::len).max();
        let found = longest_prefix(prefixes.iter().map(|prefix| (prefix.as_str(), prefix.len())), &path);
        prop_assert_eq!(found.map(|(_, length)| length), model);
        prop_assert!(found.is_none_or(|(prefix, _)| covers_by_segments(prefix, &path)));
    }

    #[test]
    fn overlap_agrees_with_covering_a_common_path(a in "(/[ab]{1,2}){1,3}", b in "(/[ab]{1,2}){1,3}") {
        prop_assert_eq!(prefixes_overlap(&a, &b), covers_by_segments(&a, &b) || covers_by_segments(&b, &a));
    }
}
