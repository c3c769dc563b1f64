//! Any text as a host, as requests carry it and as patterns are registered.
//!
//! Run by `cargo fuzz`. Invariant: whatever the text is, nothing panics, and a normal form is its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenancy::{HostPattern, is_normal_host, normalize_host, normalize_host_cow};

fuzz_target!(|text: &str| {
    let normal = normalize_host(text);
    assert_eq!(normalize_host_cow(text).map(|host| host.into_owned()), normal);
    match &normal {
        Ok(normal) => {
            assert_eq!(normalize_host(normal).as_ref(), Ok(normal));
            assert!(is_normal_host(normal) && normal.len() <= 253 && normal.is_ascii());
            assert_eq!(is_normal_host(text), text == normal);
            assert_eq!(HostPattern::parse(text).map(|pattern| pattern.to_string()).as_ref(), Ok(normal));
        }
        Err(error) => assert!(!error.to_string().is_empty() && !is_normal_host(text)),
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(pattern.as_str()).as_ref(), Ok(&pattern));
        assert_eq!(pattern.is_wildcard(), normal.is_err());
    }
});
