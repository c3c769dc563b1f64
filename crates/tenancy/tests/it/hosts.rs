//! Hosts: what normalises to what, what is refused and as what, and which hosts a pattern stands for.

use std::borrow::Cow;

use proptest::prelude::*;
use tenancy::{HostError, HostPattern, is_normal_host, normalize_host, normalize_host_cow};

use crate::near::near_host;

#[track_caller]
fn check(input: &str, normal: &str) {
    assert_eq!(normalize_host(input).as_deref(), Ok(normal), "{input:?}");
    assert_eq!(normalize_host(normal).as_deref(), Ok(normal), "the normal form {normal:?} is not its own");
}

/// By the name of the variant: what is in it is for people.
#[track_caller]
fn refused(input: &str, variant: &str) {
    let error = normalize_host(input).map_err(|error| format!("{error:?}"));
    assert!(error.as_ref().is_err_and(|error| error.starts_with(variant)), "{input:?} gave {error:?}, not {variant}");
}

#[test]
fn names_are_lowered_and_lose_what_is_around_them() {
    check("acme.example.com", "acme.example.com");
    check("ACME.Example.COM", "acme.example.com");
    check("localhost", "localhost");
    check("acme.example.com.", "acme.example.com");
    check("acme.example.com:443", "acme.example.com");
    check("acme.example.com.:443", "acme.example.com");
    check("acme.example.com:", "acme.example.com");
    check("acme.example.com:0", "acme.example.com");
    check("acme.example.com:65535", "acme.example.com");
    check("acme.example.com:000080", "acme.example.com");
    check("user@acme.example.com", "acme.example.com");
    check("user:secret@acme.example.com:8080", "acme.example.com");
    check("evil.example@user@acme.example.com", "acme.example.com");
    check("@acme.example.com", "acme.example.com");
}

#[test]
fn std3_rules_are_off() {
    check("_dmarc.example.com", "_dmarc.example.com");
    check("-a-.example.com", "-a-.example.com");
    check("r3---sn.example.com", "r3---sn.example.com");
    check("a~b!c.example.com", "a~b!c.example.com");
    check("a&b=c;d.example.com", "a&b=c;d.example.com");
}

#[test]
fn international_names_become_ascii() {
    check("bücher.example", "xn--bcher-kva.example");
    check("BÜCHER.example", "xn--bcher-kva.example");
    check("bu\u{308}cher.example", "xn--bcher-kva.example");
    check("XN--Bcher-KVA.example", "xn--bcher-kva.example");
    check("straße.example", "xn--strae-oqa.example"); // non-transitional: not `strasse`
    check("faß.de", "xn--fa-hia.de");
    check("βόλος.com", "xn--nxasmm1c.com"); // the final sigma stays one
    check("日本語。jp", "xn--wgv71a119e.jp");
    check("ａｃｍｅ．example", "acme.example");
    check("acme.example。", "acme.example");
    check("a\u{ad}cme.example", "acme.example");
    check("\u{212a}elvin.example", "kelvin.example");
    check("😀.example", "xn--e28h.example");
    check("раypal.example", "xn--ypal-43d9g.example"); // mixed scripts are a name like any other, but never another's
    check("ｘｎ－－bcher-kva.example", "xn--bcher-kva.example");
}

#[test]
fn ipv4_is_read_as_whatwg_urls_read_it() {
    check("127.0.0.1", "127.0.0.1");
    check("127.0.0.1.", "127.0.0.1");
    check("127.0.0.1:8080", "127.0.0.1");
    check("0x7f.1", "127.0.0.1");
    check("0X7F.0.0.0x1", "127.0.0.1");
    check("0177.0.0.01", "127.0.0.1");
    check("2130706433", "127.0.0.1");
    check("127.1", "127.0.0.1");
    check("127.0.1", "127.0.0.1");
    check("0", "0.0.0.0");
    check("0x", "0.0.0.0");
    check("4294967295", "255.255.255.255");
    check("１２７.０.０.１", "127.0.0.1");
    check("①.2.3.4", "1.2.3.4");
    check("1.2.3.4a", "1.2.3.4a");
    check("1.2.3.4.example", "1.2.3.4.example");
    check("0xg", "0xg");
    check("1-2", "1-2");
}

#[test]
fn ipv6_is_unbracketed_and_compressed() {
    check("[::1]", "::1");
    check("[::1]:8443", "::1");
    check("[::1]:", "::1");
    check("user@[::1]:8443", "::1");
    check("::1", "::1");
    check("::", "::");
    check("::0", "::"); // begins with its own normal form
    check("[1::0:0]", "1::");
    check("0:0:0:0:0:0:0:0", "::");
    check("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
    check("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
    check("1:0:0:2:0:0:0:3", "1:0:0:2::3");
    check("[::ffff:1.2.3.4]", "::ffff:102:304");
    check("::ffff:102:304", "::ffff:102:304");
    check("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0");
    check("::1:8080", "::1:8080");
}

#[test]
fn lengths_are_those_of_dns() {
    let label = "a".repeat(63);
    check(&label, &label);
    refused(&"a".repeat(64), "LabelTooLong");
    let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(name.len(), 253);
    check(&name, &name);
    check(&format!("{name}."), &name);
    check(&format!("{}@{name}:443", "u".repeat(1000)), &name);
    refused(&format!("{name}a"), "TooLong { limit: 253 }");
    refused(&"a".repeat(300), "TooLong { limit: 253 }");
    refused(&"a.".repeat(150), "TooLong { limit: 253 }");
    refused(&"ü".repeat(60).repeat(2), "LabelTooLong");
    refused(&"a".repeat(2_049), "TooLong { limit: 2048 }");
    refused(&format!("{}@a", "u".repeat(2_048)), "TooLong { limit: 2048 }");
}

#[test]
fn what_is_no_host_is_refused_for_its_own_reason() {
    for empty in ["", ".", ":80", "user@", "user@:80", "user@.", "。", "\u{ad}"] {
        refused(empty, "Empty");
    }
    for port in ["a:99999", "a:65536", "a:abc", "a:-1", "a:+1", "a:８０", "[::1]:x", "a:4294967376", "1.2.3.4:70000"]
    {
        refused(port, "Port");
    }
    for ipv4 in
        ["256.1.1.1", "1.2.3.256", "1.2.3.4.5", "4294967296", "a.1", "a.0x1", "08", "1.09", "1.2.3.0x100", "example.１"]
    {
        refused(ipv4, "Ipv4");
    }
    for ipv6 in [
        "[]",
        "[::1",
        "[::1]a",
        "[::g]",
        "[1.2.3.4]",
        "[a]",
        ":::",
        "1::2::3",
        "a:b:c",
        "fe80::1%eth0",
        "[::1].",
        "[[::1]]",
    ] {
        refused(ipv6, "Ipv6");
    }
    for label in ["a..b", ".a", "a..", "..", "1.2.3.4..", "a.\u{ad}.b", "a。。b"] {
        refused(label, "EmptyLabel");
    }
    for idna in
        ["xn--a", "xn--", "a.xn--zzzzzzzzzzzzzzz", "\u{fffd}.example", "\u{301}a", "א1a.example", "xn--a-ecp.ru"]
    {
        refused(idna, "Idna");
    }
    for wildcard in ["*", "*.example.com", "a*.example.com", "＊.example.com", "*.1.2.3.4"] {
        refused(wildcard, "Wildcard");
    }
    refused("a]", "Character(']')");
    refused("a\0b", "Character('\\0')");
    refused("\0", "Character('\\0')");
    refused("user\n@a", "Character('\\n')");
    refused(" acme.example.com", "Character(' ')");
    refused("acme example.com", "Character(' ')");
    refused("a\tb", "Character('\\t')");
    refused("a/b", "Character('/')");
    refused("http://acme.example.com", "Character('/')");
    refused("evil.example/@acme.example.com", "Character('/')");
    refused("a\\b", "Character('\\\\')");
    refused("a?b", "Character('?')");
    refused("a#b", "Character('#')");
    refused("%61cme.example.com", "Character('%')");
    refused("a<b", "Character('<')");
    refused("a|b", "Character('|')");
    refused("a^b", "Character('^')");
    refused("℀.example", "Idna"); // maps to `a/c`
    refused("a：80", "Idna"); // maps to `a:80`
}

#[test]
fn messages_repeat_a_short_escaped_piece_and_no_userinfo() {
    let long = format!("user:secret@{}", "xn--\u{202e}".repeat(200));
    let message = normalize_host(&long).map_err(|error| error.to_string());
    let message = message.err().unwrap_or_default();
    assert!(message.contains("xn--\\u{202e}xn--") && message.contains('…'), "{message}");
    assert!(message.chars().count() < 200 && !message.contains("secret"), "{message}");
}

#[test]
fn hosts_in_normal_form_are_borrowed() {
    for (input, slice) in [
        ("acme.example.com", "acme.example.com"),
        ("user@acme.example.com.:443", "acme.example.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("xn--bcher-kva.example:80", "xn--bcher-kva.example"),
        ("a~b.example", "a~b.example"),
        ("_a.0b", "_a.0b"),
    ] {
        assert!(matches!(normalize_host_cow(input), Ok(Cow::Borrowed(host)) if host == slice), "{input}");
        assert!(is_normal_host(slice), "{slice}");
        assert_eq!(is_normal_host(input), input == slice, "{input}");
    }
    assert!(matches!(normalize_host_cow("[2001:DB8::1]"), Ok(Cow::Owned(_))));
}

#[track_caller]
fn pattern(input: &str, text: &str, matching: &[&str], others: &[&str]) {
    let pattern = HostPattern::parse(input);
    let Ok(pattern) = pattern else { unreachable!("{input:?} gave {pattern:?}") };
    assert_eq!(pattern.to_string(), text);
    assert_eq!(pattern.is_wildcard(), text.starts_with('*'));
    for host in matching {
        assert!(pattern.matches(host), "{text} does not match {host}");
    }
    for host in others {
        assert!(!pattern.matches(host), "{text} matches {host}");
    }
}

#[track_caller]
fn no_pattern(input: &str, error: HostError) {
    assert_eq!(HostPattern::parse(input), Err(error), "{input:?}");
}

#[test]
fn wildcard_matches_exactly_one_label() {
    let others =
        ["example.com", ".example.com", "a.b.example.com", "xexample.com", "a.example.org", "*.a.example.com", ""];
    pattern("*.example.com", "*.example.com", &["a.example.com", "_x.example.com"], &others);
    pattern("u@*.EXAMPLE.com.:443", "*.example.com", &["a.example.com"], &others);
    pattern("*.localhost", "*.localhost", &["a.localhost"], &["localhost"]);
    pattern("*.Bücher.example", "*.xn--bcher-kva.example", &["a.xn--bcher-kva.example"], &["xn--bcher-kva.example"]);
}

#[test]
fn exact_pattern_matches_its_host_alone() {
    pattern(
        "Acme.example.com:80",
        "acme.example.com",
        &["acme.example.com"],
        &["a.acme.example.com", "example.com", ""],
    );
    pattern("[0::1]:80", "::1", &["::1"], &["::2", "[::1]"]);
    pattern("127.1", "127.0.0.1", &["127.0.0.1"], &["127.1"]);
}

#[test]
fn wildcards_stand_only_in_front_of_a_name() {
    for input in [
        "*",
        "*.",
        "*..",
        "**.example.com",
        "a*.example.com",
        "a.*.example.com",
        "*.*.example.com",
        "*a.com",
        "＊.a.com",
    ] {
        no_pattern(input, HostError::Wildcard);
    }
    for address in ["*.127.0.0.1", "*.0.0.1", "*.1", "*.0x7f.1", "*.１"] {
        no_pattern(address, HostError::Wildcard);
    }
    no_pattern("*.[::1]", HostError::Ipv6("*.[::1]".to_owned()));
    no_pattern("*.a..b", HostError::EmptyLabel);
    no_pattern("", HostError::Empty);
    let parent = ["a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(59)].join(".");
    assert!(HostPattern::parse(&format!("*.{parent}")).is_ok());
    no_pattern(&format!("*.{parent}a"), HostError::TooLong { limit: 253 });
}

#[test]
fn wildcard_to_look_up_is_that_of_the_parent() {
    for (host, wildcard) in [
        ("a.example.com", Some("*.example.com")),
        ("example.com", Some("*.com")),
        ("1.2.3.4.example", Some("*.2.3.4.example")),
        ("localhost", None),
        ("1.2.3.4", None),
        ("::1", None),
        ("::ffff:102:304", None),
    ] {
        assert_eq!(HostPattern::wildcard_of(host).as_deref(), wildcard, "{host}");
    }
}

/// The same rules by way of the `url` crate, for inputs where the two are meant to agree.
fn by_url_crate(input: &str) -> Option<String> {
    let url = url::Url::parse(&format!("http://{input}/")).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let host = host.strip_suffix('.').unwrap_or(host);
    let lengths =
        host.len() <= 253 && (host.contains(':') || host.split('.').all(|label| (1..64).contains(&label.len())));
    lengths.then(|| host.to_owned())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_is_idempotent(input in any::<String>()) {
        if let Ok(normal) = normalize_host(&input) {
            prop_assert_eq!(normalize_host(&normal), Ok(normal));
        }
        let _ = HostPattern::parse(&input);
    }

    #[test]
    fn near_hosts_are_idempotent_and_borrowed_when_normal(input in near_host()) {
        if let Ok(normal) = normalize_host(&input) {
            prop_assert!(matches!(normalize_host_cow(&normal), Ok(Cow::Borrowed(same)) if same == normal), "{}", normal);
            prop_assert!(is_normal_host(&normal) && normal.is_ascii() && normal.len() <= 253);
            prop_assert_eq!(is_normal_host(&input), input == normal);
        }
        if let Ok(pattern) = HostPattern::parse(&input) {
            prop_assert_eq!(HostPattern::parse(pattern.as_str()), Ok(pattern));
        }
    }

    #[test]
    fn a_kept_port_changes_nothing_about_the_host(input in near_host()) {
        let kept = tenancy::normalize_host_keeping_port(&input);
        prop_assert_eq!(kept.as_deref().map(normalize_host).ok(), normalize_host(&input).map(Ok).ok());
        if let Ok(kept) = kept {
            prop_assert_eq!(tenancy::normalize_host_keeping_port(&kept), Ok(kept));
        }
    }

    #[test]
    fn agrees_with_the_url_crate(input in near_host()) {
        // Where we are stricter (percent-escapes, wildcards), or read hosts and not URLs (paths, bare IPv6).
        let after_userinfo = input.rsplit('@').next().unwrap_or_default();
        let differs = input.contains(|c: char| c.is_control() || " %*＊/\\?#".contains(c))
            || (!after_userinfo.starts_with('[') && after_userinfo.matches(':').count() > 1);
        if !differs {
            prop_assert_eq!(normalize_host(&input).ok(), by_url_crate(&input));
        }
    }

    #[test]
    fn ordinary_hosts_are_read_and_found_by_their_wildcard(host in "[a-zA-Z_-][a-z0-9_]{0,9}(\\.[a-zA-Z][a-z0-9]{0,9}){1,3}\\.?(:[0-9]{1,4})?") {
        let normal = normalize_host(&host);
        let lowered = host.to_ascii_lowercase();
        let name = lowered.split(':').next().unwrap_or_default();
        prop_assert_eq!(normal.as_deref(), Ok(name.strip_suffix('.').unwrap_or(name)));
        let normal = normal.unwrap_or_default();
        let wildcard = HostPattern::wildcard_of(&normal).map(|text| HostPattern::parse(&text));
        prop_assert!(matches!(wildcard, Some(Ok(pattern)) if pattern.matches(&normal)));
    }
}
