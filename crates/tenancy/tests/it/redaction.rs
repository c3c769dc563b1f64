//! What a reason shows of a text that somebody else wrote: tables by form, and properties for every text.
//!
//! All of it goes through `Reason`, as every text does. Planted secrets are made up.

use proptest::prelude::*;
use proptest::sample::select;
use tenancy::Reason;

#[track_caller]
fn check(text: &str, shown: &str) {
    let reason = Reason::from(text);
    assert_eq!(reason, shown, "{text:?}");
    assert_eq!(Reason::from(reason.as_str()), reason, "what is shown of {text:?} is not its own");
}

#[track_caller]
fn stays(text: &str) {
    check(text, text);
}

const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLW5vdGhpbmc";

#[test]
fn plain_words_stay_as_they_are() {
    for text in [
        "",
        "not paid",
        "token expired",
        "token: expired",
        "invalid token: signature mismatch",
        "invalid_token: The access token expired",
        "the signature does not match",
        "kid k1 not found at https://acme.example.com/.well-known/brand.json",
        "connection refused (os error 111)",
        "tenant 0198c5b2-d1f8-7c3a-9b8e-1f2a3b4c5d6e is frozen",
        "tenant acme-0198c5b2-d1f8-7c3a-9b8e-1f2a3b4c5d6e_eu-central-1 is frozen",
        "tenant AcmeCorp_0198c5b2-d1f8-7c3a-9b8e-1f2a3b4c5d6e is frozen",
        "my-very-long-tenant-name-in-europe-2024-eu-west-1",
        "pod tenant-registry-api-7d9f8b6c5d-x2x4z is not ready",
        "https://example.com:8443/users/@me?page=2&size=10",
        "https://acme.example.com/@scope/package@1.2.3",
        "git@github.com:acme/shop.git",
        "mailto:bob@example.com",
        "image registry.example.com/acme/app:1.2@sha256:abc",
        "expected value at line 1 column 3: token `}`",
        "reqwest::token::Expired: gone",
        "Bearer token missing",
        "Bearer realm=\"acme\", error=\"invalid_token\"",
        "basic authentication failed",
        "Basic checks failed",
        "key: k1, config=prod, passes=3",
        "TenantRegistryConfigurationLoader::LoadAllConfigurationsFromDirectory",
        "/var/lib/tenancy/configurations/of-all-tenants/acme.json",
        "1234567890123456789012345678901234567890",
        "Müller’s Straße 5 – 日本語 🦀",
    ] {
        stays(text);
    }
}

#[test]
fn userinfo_of_urls_is_hidden() {
    check("cannot reach postgres://app:hunter2@db/acme", "cannot reach postgres://***@db/acme");
    check("https://ghp@github.com/a", "https://***@github.com/a");
    check("https://:pw@h", "https://***@h");
    check("'redis://:p@ss@h:1/0'", "'redis://***@h:1/0'");
    check("postgres://app:pa/ss?w#d@db:5432/acme", "postgres://***@db:5432/acme");
    check("a://u:p@b,c://u:p@d", "a://***@b,c://***@d");
    check("http://a:b@c http://d:e@f", "http://***@c http://***@f");
    check("root:hunter2@tcp(127.0.0.1:3306)/acme", "***@tcp(127.0.0.1:3306)/acme");
    check("dial app:hunter2@db: refused", "dial ***@db: refused");
    stays("https://@host/");
    stays("http://[::1]:80/@a");
}

#[test]
fn authorization_is_hidden_in_every_form() {
    check("sent Bearer abc.def-123", "sent Bearer ***");
    check("bearer  abc123, then nothing", "bearer  ***, then nothing");
    check("Basic YWxpY2U6aHVudGVyMg==", "Basic ***");
    check("Authorization: Bearer abc", "Authorization: ***");
    check("authorization:opaque words of mine", "authorization:***");
    check("Authorization: Digest username=\"a\", response=\"b\"\r\nHost: h", "Authorization: ***  Host: h");
    check("Proxy-Authorization: x", "Proxy-Authorization: ***");
    check("curl -H 'Authorization: Bearer abc' https://h", "curl -H 'Authorization: ***' https://h");
    check("{\"Authorization\":\"Bearer abc\",\"Host\":\"h\"}", "{\"Authorization\":\"***\",\"Host\":\"h\"}");
    check("Set-Cookie: sid=1; Path=/", "Set-Cookie: ***");
    check("token=Bearer abc", "token=***");
    check("Bearer: abc", "Bearer: ***");
}

#[test]
fn values_with_a_telling_name_are_hidden() {
    check("password=hunter2", "password=***");
    check("host=db password=hunter2 user=app", "host=db password=*** user=app");
    check("Server=db;Password=hunter2;User=app", "Server=db;Password=***;User=app");
    check("(password=hunter2)", "(password=***)");
    check("password = hunter2, user = app", "password = ***, user = app");
    check("password: hunter2", "password: ***");
    check("password='hunter 2' host=db", "password='***' host=db");
    check("password=\"a\\\"b\" host=db", "password=\"***\" host=db");
    check("password=\"never closed", "password=\"***");
    check("DB_PASSWORD=x PGPASSWORD=y", "DB_PASSWORD=*** PGPASSWORD=***");
    check("spring.datasource.password=x", "spring.datasource.password=***");
    check("--password hunter2 --verbose", "--password *** --verbose");
    check("token=abc", "token=***");
    check("token: k9", "token: ***");
    check("client_secret=abc&grant_type=x", "client_secret=***&grant_type=x");
    check("clientSecret: abc", "clientSecret: ***");
    check("AccountKey=abc==;EndpointSuffix=core", "AccountKey=***;EndpointSuffix=core");
    check("{\"api_key\": \"abc\", \"n\": 1}", "{\"api_key\": \"***\", \"n\": 1}");
    check("{\"token\":\"expired\"}", "{\"token\":\"***\"}");
    check("{\\\"token\\\":\\\"abc\\\",\\\"n\\\":1}", "{\\\"token\\\":\\\"***\\\",\\\"n\\\":1}");
    check("\"secrets\": [\"a\", \"b\"], \"n\": 1", "\"secrets\": ***, \"n\": 1");
    check(":api_key=>\"abc\"", ":api_key=>\"***\"");
    check("X-Api-Key: abc", "X-Api-Key: ***");
    check("your API key: abc", "your API key: ***");
    check("signature=abc", "signature=***");
    stays("password=");
    stays("password=***");
    stays("password: \"\"");
}

#[test]
fn telling_parameters_of_queries_are_hidden() {
    check("https://h/p?access_token=abc&x=1", "https://h/p?access_token=***&x=1");
    check("https://h/p?x=1&sig=abc%2B", "https://h/p?x=1&sig=***");
    check("https://h/p?X-Amz-Signature=abc&b", "https://h/p?X-Amz-Signature=***&b");
    check("https://h/cb?code=abc&key=def", "https://h/cb?code=***&key=***");
    check("GET /p?api_key=abc: 404", "GET /p?api_key=***: 404");
}

#[test]
fn words_that_look_like_keys_are_hidden() {
    check(&format!("got {JWT}."), "got ***.");
    check("header eyJhbGciOiJFUzI1NiJ9 only", "header *** only");
    check("trk_live_0123456789ABCDEFGHIJKL4Uutzc revoked", "*** revoked");
    check("trk_dev_abcdefgh", "***");
    check("(sk_live_abcdefgh1)", "(***)");
    check("ghp_abcdefghijklmnop, ghp_", "***, ghp_");
    check("AKIAIOSFODNN7EXAMPLE", "***");
    check("'9f86d081884c7d659a2feaa0c55ad015a3bf4f1b'", "'***'");
    check("k=9f86d081884c7d659a2feaa0c55ad015", "k=***");
    check("8fJ2kLm9QpR4sTv7WxYz1AbC3dEf5GhJ", "***");
    check("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "***");
    check("https://h/reset/8fJ2kLm9QpR4sTv7WxYz1AbC3dEf5GhJ/now", "https://h/reset/***/now");
    check("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "***");
    stays("8fJ2kLm9QpR4sTv7WxYz1AbC3dEf5Gh");
    stays("trk_dev_abcdefg");
    stays("task_live_migration and desk_test_results");
    stays("npm_config_registry_of_the_whole_company_1");
}

#[test]
fn private_keys_are_hidden_whole() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\nBCIEIA==\n-----END PRIVATE KEY-----";
    check(&format!("cannot read {pem}\nat all"), "cannot read *** at all");
    check(&pem.replace("PRIVATE", "RSA PRIVATE"), "***");
    check(&pem.replace('\n', "\\n"), "***");
    check(&format!("private_key={pem} x"), "private_key=*** x");
    check("-----BEGIN EC PRIVATE KEY-----\nabc\nnever closed", "***");
    check(
        "-----BEGIN PRIVATE KEY-----\nabc\n-----END nothing like a label of a key in any standard that I know of, so to the end ----- x",
        "***",
    );
    stays("-----BEGIN PUBLIC KEY----- abc -----END PUBLIC KEY-----");
}

#[test]
fn control_characters_become_spaces() {
    check("a\nb\tc\u{1b}[31md\0e\u{7f}f\u{85}g\u{2028}h\u{202e}i", "a b c [31md e f g h i");
}

#[test]
fn a_text_of_five_hundred_characters_stays_and_a_longer_one_is_cut() {
    let sentence = |chars: usize| "word wörd ".repeat(100).chars().take(chars).collect::<String>();
    stays(&sentence(500));
    let reason = Reason::from(sentence(501));
    assert_eq!(reason.chars().count(), 500);
    assert!(reason.ends_with('…') && sentence(501).starts_with(reason.trim_end_matches('…')));
}

#[test]
fn a_cut_leaves_no_piece_of_a_secret() {
    for before in 470..=500 {
        for secret in ["password=hunter2hunter2", "postgres://app:hunter2hunter2@db/x", "Bearer hunter2hunter2"] {
            let text = format!("{} {secret}", "a".repeat(before));
            assert!(!Reason::from(text.as_str()).contains("hun"), "{before} {secret}");
        }
    }
    check(&"x/".repeat(400), &format!("{}…", &"x/".repeat(400)[..499]));
}

#[test]
fn a_cut_makes_no_secret_of_a_harmless_word() {
    // A label of a host, whatever it is; without the rest of the host it would be read as a key.
    let before = "word ".repeat(90);
    let text = format!("{before}9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d659a2feaa0c55ad015.example.com");
    check(&text, &format!("{}…", before.trim_end()));
}

#[test]
fn huge_texts_cost_little() {
    const HUGE: usize = 1 << 18;
    let started = std::time::Instant::now();
    for unit in [
        "a",
        "a:",
        "a:b@",
        "://",
        "://u:p/",
        "password",
        "password ",
        "token=",
        "\"",
        "\\",
        "eyJ",
        "-----BEGIN ",
        "aB3",
        " ",
        "%",
        "[",
        "é",
    ] {
        let text = unit.repeat(HUGE / unit.len());
        for text in [text.clone(), format!("password={text}"), format!("token=\"{text}"), format!("Bearer {text}")] {
            assert!(Reason::from(text).chars().count() <= 500);
        }
    }
    // A second or two in a debug build; what is quadratic takes minutes for each of them.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// Text that is made of what means something to a step.
fn near_secrets() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "password",
        "token",
        "api",
        "key",
        "Authorization",
        "Bearer",
        "basic",
        "secret",
        "cookie",
        "sig",
        "--",
        "-----BEGIN",
        " PRIVATE KEY",
        "-----",
        "-----END",
        "=",
        ":",
        "=>",
        "//",
        "://",
        "@",
        "?",
        "&",
        ";",
        ",",
        ".",
        "/",
        "\\",
        "\"",
        "'",
        "`",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "<",
        " ",
        "  ",
        "\n",
        "\r",
        "\u{0}",
        "…",
        "*",
        "***",
        "é",
        "eyJ",
        "ghp_",
        "sha256:",
        "0198c5b2-d1f8-7c3a-9b8e-1f2a3b4c5d6e",
        "aB3dE5fG7",
        "0123456789abcdef",
        "x",
        "Y",
        "7",
        "-",
        "_",
        "%",
    ];
    let piece = prop_oneof![8 => select(PARTS).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from), 1 => "[a-zA-Z0-9]{1,40}"];
    prop_oneof![3 => prop::collection::vec(piece.clone(), 0..24), 1 => prop::collection::vec(piece, 80..300)]
        .prop_map(|parts| parts.concat())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), near_secrets()]
}

proptest! {
    #[test]
    fn what_is_shown_is_its_own_and_bounded_and_printable(text in any_text()) {
        let reason = Reason::from(text);
        prop_assert_eq!(&Reason::from(reason.as_str()), &reason);
        prop_assert!(reason.chars().count() <= 500);
        prop_assert!(!reason.contains(char::is_control));
    }

    #[test]
    fn a_planted_secret_is_never_shown(before in near_secrets(), secret in "[a-z]{6}[0-9]{6}", after in any::<String>()) {
        // What stands before is apart from it, and opens no quotes that the secret would close.
        let before = before.replace(['"', '\'', '`', '\\'], "");
        for form in [
            format!("{before} password={secret} {after}"),
            format!("{before} {{\"api_key\": \"{secret}\"}} {after}"),
            format!("{before} https://u:{secret}@host/ {after}"),
            format!("{before} Authorization: Bearer {secret}\n{after}"),
            format!("{before} ?access_token={secret}&{after}"),
        ] {
            let reason = Reason::from(form.as_str());
            prop_assert!(!reason.contains(&secret), "{:?} shows {:?}", form, reason);
        }
    }

    #[test]
    fn lower_case_words_without_signs_stay(words in prop::collection::vec("[a-z]{1,12}", 0..30)) {
        // `bearer` and `basic` mean something without a sign.
        let text = words.join(" ").replace("bearer", "carrier").replace("basic", "simple");
        if text.len() <= 500 {
            prop_assert_eq!(Reason::from(text.as_str()), text.as_str());
        }
    }
}
