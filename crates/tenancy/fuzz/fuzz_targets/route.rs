//! Any text as the URL of a route.
//!
//! Run by `cargo fuzz`. Invariant: what is shown of a route is read as the same route, and its prefix covers itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenancy::{RouteUrl, path_of, prefix_covers};

fuzz_target!(|text: &str| {
    check(text);
    // Most texts fail for want of this.
    check(&format!("https://{text}"));
});

fn check(text: &str) {
    match RouteUrl::parse(text) {
        Ok(route) => {
            let shown = route.to_string();
            assert_eq!(RouteUrl::parse(&shown).as_ref(), Ok(&route), "{shown}");
            let (host, prefix) = route.key();
            assert_eq!((host, prefix), (route.host().as_str(), route.prefix()));
            assert!(prefix == "/" || prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//"));
            // A request for the URL itself, and for what is below it, comes to the route.
            assert!(prefix_covers(prefix, path_of(prefix)) && prefix_covers(prefix, &format!("{prefix}/x")));
            assert!(route.is_wildcard() || route.host().matches(host));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(!path_of(text).is_empty());
}
