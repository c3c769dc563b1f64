//! What nobody should register and nobody should ask for: refused with a reason, changing nothing, and never a panic.

use tenancy::{Refusal, Register, RegistryError, TenantConfig};

use super::{Judge, enter, judged, marked, nobody_at, open, serves};

/// Hosts that are none; what else a test of hosts knows is in `hosts.rs`.
fn bad_hosts() -> Vec<String> {
    let long = "a".repeat(300);
    let hosts = [
        "",
        ".",
        "..",
        " ",
        "\0",
        "acme\0.example.com",
        "acme.example.com\0",
        "\u{1f4a9}@",
        "@",
        ":",
        ":443",
        "a b.example.com",
        "http://acme.example.com",
        "https://acme.example.com/",
        "acme.example.com/",
        "acme.example.com/../x",
        "a..example.com",
        ".acme.example.com",
        "acme.example.com..",
        "acme.example.com:99999",
        "acme.example.com:-1",
        "acme.example.com:+80",
        "acme.example.com:8o",
        "acme.example.com:1:2",
        "[acme.example.com]",
        "[",
        "]",
        "[]",
        "[::1",
        "::1]",
        "[::1]x",
        "[::g]",
        "[::1%25eth0]",
        "[fe80::1%eth0]",
        "1:2:3",
        "0377.0.0.256",
        "1.2.3.4.5",
        "256.256.256.256",
        "0x100000000",
        "acme.example.com\r\nHost: evil",
        "acme%2eexample.com",
        "acme.example.com?",
        "acme.example.com#x",
        "*",
        "*.*",
        "*.example.com",
        "a*.example.com",
        "xn--",
        "xn--a",
        "\u{202e}moc.elpmaxe",
        "\\\\acme.example.com",
        "\u{200d}",
    ];
    hosts
        .into_iter()
        .map(str::to_owned)
        .chain([long.clone(), format!("{long}.example.com"), format!("{}.", "a.".repeat(200))])
        .collect()
}

#[tokio::test]
async fn nobody_is_reached_by_what_is_no_host() {
    let registry = open();
    enter(&registry, "acme", "https://acme.example.com").await;
    enter(&registry, "wild", "https://*.example.com").await;
    enter(&registry, "six", "https://[::1]").await;
    for host in bad_hosts() {
        for path in ["/", "", "/a/b"] {
            nobody_at(&registry, &host, path);
        }
        assert_eq!(registry.resolve_by_host(&host).unwrap_err(), Refusal::UnknownHost);
        assert_eq!(registry.resolve_lazy(&host).await.unwrap_err(), Refusal::UnknownHost);
    }
}

#[tokio::test]
async fn what_is_one_after_all_is_read_as_what_it_is() {
    let registry = open();
    enter(&registry, "acme", "https://acme.example.com").await;
    enter(&registry, "local", "https://127.0.0.1").await;
    enter(&registry, "moji", "https://\u{1f4a9}.example.com").await;
    for host in ["0177.0.0.1", "0x7f.1", "2130706433", "127.1", "127.0.0.1.:80", "１２７.0.0.1"] {
        serves(&registry, host, "/", "local");
    }
    serves(&registry, "xn--ls8h.example.com", "/", "moji");
    // Latin, Cyrillic and Greek letters that look alike are different hosts.
    for host in ["аcme.example.com", "acmе.example.com", "αcme.example.com"] {
        nobody_at(&registry, host, "/");
    }
    serves(&registry, "evil.example@acme.example.com", "/", "acme");
}

fn bad_urls() -> Vec<String> {
    let urls = [
        "",
        " ",
        "acme.example.com",
        "//acme.example.com",
        "https:",
        "https:/",
        "https://",
        "https:///",
        "https:///api",
        "https://:443",
        "https://@",
        "https://u:p@",
        "https://?x",
        "https://#x",
        "ftp://acme.example.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://acme.example.com?x=1",
        "https://acme.example.com#x",
        "https://acme.example.com/a?x",
        "https://acme.example.com:0",
        "https://acme.example.com:65536",
        "https://acme.example.com:x",
        "https://a b.example.com",
        "https://acme.example.com/a/../b",
        "https://acme.example.com/..",
        "https://acme.example.com/./a",
        "https://acme.example.com/%2e%2E/a",
        "https://acme.example.com//a",
        "https://acme.example.com/a//b",
        "https://acme.example.com/a%",
        "https://acme.example.com/a%2",
        "https://acme.example.com/a%zz",
        "https://acme.example.com/\0",
        "https://acme.example.com/a b",
        "https://acme.example.com/é",
        "https://acme.example.com\\a",
        "https://::1/",
        "https://[::1",
        "https://[acme]",
        "https://1.2.3.4.5",
        "https://*",
        "https://*.*.example.com",
        "https://a.*.example.com",
        "https://*.127.0.0.1",
        "https://a..example.com",
        "https://\u{202e}.example.com",
        "https://acme.example.com\n",
    ];
    let long =
        [format!("https://{}.example.com", "a".repeat(300)), format!("https://acme.example.com/{}", "a".repeat(3_000))];
    urls.into_iter().map(str::to_owned).chain(long).collect()
}

#[tokio::test]
async fn a_tenant_cannot_be_registered_or_replaced_with_what_is_no_url() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    enter(&registry, "held", "https://held.example.com").await;
    let before = registry.list();
    for bad in bad_urls() {
        for config in [
            TenantConfig::new(&*bad, "p"),
            TenantConfig::new("https://fine.example.com", "p").alias(&*bad),
            TenantConfig::lazy(&*bad, || async { Ok::<_, String>("p") }),
        ] {
            let error = registry.register("acme", config, Register::default()).await.unwrap_err();
            assert!(
                matches!(&error, RegistryError::InvalidUrl { reason, .. } if !reason.is_empty()),
                "{bad:?}: {error}"
            );
        }
        let error = registry.replace("held", marked(&bad, "new")).await.unwrap_err();
        assert!(matches!(error, RegistryError::InvalidUrl { .. }), "{bad:?}: {error}");
    }
    assert_eq!((registry.list(), judge.calls()), (before, 1));
    enter(&registry, "fine", "https://fine.example.com").await;
}

#[tokio::test]
async fn a_tenant_needs_an_id_that_can_be_shown() {
    let registry = open();
    for bad in ["", "a\0b", "a\nb", "\u{7f}", &"x".repeat(256)] {
        let result = registry.register(bad, marked("https://acme.example.com", "p"), Register::default()).await;
        assert!(matches!(result, Err(RegistryError::InvalidTenantId { .. })), "{bad:?}");
        assert_eq!(registry.get(bad).unwrap_err(), Refusal::UnknownTenant);
        assert!(!registry.unregister(bad) && !registry.suspend(bad, "x"));
        assert_eq!(registry.recheck(bad).await, Err(super::unknown_tenant(bad)));
    }
    assert!(registry.is_empty());
    for good in ["a", "Acme Ltd", "../../x", "\u{1f4a9}", "日本", &"x".repeat(255)] {
        super::registered(registry.register(good, marked("https://acme.example.com", "p"), Register::default()).await);
        assert!(registry.get(good).is_ok() && registry.unregister(good), "{good:?}");
    }
}

#[tokio::test]
async fn paths_of_requests_may_be_anything() {
    let registry = open();
    enter(&registry, "root", "https://example.com").await;
    enter(&registry, "deep", "https://example.com/a/b/c").await;
    let long = "/a".repeat(100_000);
    for path in [
        "",
        "*",
        "/",
        "//",
        "///",
        "a",
        "a/b/c",
        "\0",
        "/\0/a",
        "/a/b",
        "/a//b/c",
        "/./a/b/c",
        "/é/日本/\u{1f4a9}",
        "?",
        "#",
        "?/a/b/c",
        &long,
    ] {
        serves(&registry, "example.com", path, "root");
    }
    for path in ["/a/b/c", "/a/b/c/", "/a/b/c//", "/a/b/c?", "/a/b/c#/x", "/a/b/c/../../..", &format!("/a/b/c{long}")] {
        serves(&registry, "example.com", path, "deep");
    }
}

/// Registering cannot be made slow by a tenant with very many routes, and they all count.
#[tokio::test]
async fn a_tenant_may_have_very_many_routes() {
    let registry = open();
    let config = |platform: &'static str, from: usize| {
        (from..from + 2_000).fold(TenantConfig::new("https://many.example.com", platform), |config, n| {
            config.alias(format!("https://h{n}.example.com/p{n}"))
        })
    };
    super::registered(registry.register("many", config("one", 0), Register::default()).await);
    serves(&registry, "h1999.example.com", "/p1999/x", "one");
    super::registered(registry.replace("many", config("two", 1_000)).await);
    serves(&registry, "h1999.example.com", "/p1999/x", "two");
    serves(&registry, "h2999.example.com", "/p2999", "two");
    nobody_at(&registry, "h0.example.com", "/p0");
    assert!(registry.unregister("many"));
    nobody_at(&registry, "h1999.example.com", "/p1999");
}
