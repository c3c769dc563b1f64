//! Texts that are almost hosts, for properties: arbitrary text rarely gets past the first check.
//!
//! Both hosts and URLs are made from these. The fragments are the ones that mean something to a step of the
//! normalisation, or that a mapping turns into something that does.

use proptest::prelude::*;
use proptest::sample::select;

const FRAGMENTS: &[&str] = &[
    ".",
    ".",
    ".",
    ".",
    "..",
    "a",
    "B",
    "example",
    "com",
    "-",
    "--",
    "_",
    "*",
    "*.",
    "~",
    "xn--",
    "XN--",
    "bcher-kva",
    "xn--bcher-kva",
    "xn--a",
    "xn--0ca",
    "xn--zca",
    "ß",
    "ẞ",
    "ς",
    "İ",
    "ﬀ",
    "K",
    "㎏",
    "℀",
    "\u{ad}",
    "\u{200b}",
    "\u{200c}",
    "\u{200d}",
    "\u{301}",
    "क",
    "क्",
    "。",
    "．",
    "｡",
    "０",
    "１",
    "②",
    "ｘ",
    "ａ",
    "ｘｎ－－",
    "：",
    "＊",
    "＠",
    "א",
    "ا",
    "٣",
    "日本",
    "р",
    "😀",
    "0",
    "1",
    "08",
    "0x",
    "0X7F",
    "127",
    "256",
    "4294967295",
    "4294967296",
    "1.2.3.4",
    "[",
    "]",
    "[::1]",
    "::",
    ":",
    "1:2",
    "ffff",
    "::ffff:1.2.3.4",
    "@",
    "u:p@",
    "%",
    "%2e",
    "%61",
    ":80",
    ":0",
    ":99999",
    "\0",
    " ",
    "/",
    "\\",
];

/// Those that are accepted unless they meet badly, so that many a near host is one and has a normal form to look at.
const MILD: &[&str] = &[
    "a",
    "B",
    "9",
    "-",
    "_",
    "~",
    "ß",
    "ς",
    "é",
    "ﬀ",
    "K",
    "\u{ad}",
    "\u{301}",
    "１",
    "②",
    "ｘ",
    "日本",
    "р",
    "😀",
    "א",
    "0x",
    "7f",
    "127",
    "1",
    "0",
    ".",
    "。",
    "．",
    "a.",
    "1.",
    "xn--bcher-kva.",
    ".xn--bcher-kva",
    "XN--0ca.",
    "ｘｎ－－0ca.",
];

pub(crate) fn near_host() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        8 => select(FRAGMENTS).prop_map(str::to_owned),
        2 => "[a-z0-9]{1,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    let wild = prop::collection::vec(fragment, 0..8).prop_map(|pieces| pieces.concat());
    let before = select(&["", "", "", "u@", "*."][..]);
    let after = select(&["", "", "", ":80", ".", ":"][..]);
    let mild = (before, prop::collection::vec(select(MILD), 1..6), after)
        .prop_map(|(before, pieces, after)| format!("{before}{}{after}", pieces.concat()));
    let ipv6 = "\\[?([0-9A-F]{1,4}|0|0000|::){1,4}(:([0-9a-f]{1,4}|0|::)){0,7}\\]?(:80)?";
    prop_oneof![4 => wild, 4 => mild, 1 => ipv6]
}

pub(crate) fn near_url() -> impl Strategy<Value = String> {
    let wild = prop::collection::vec(
        select(&["/", "/", "/", "a", "B", ".", "%2e", "%2F", "%", "~", ":", "@", "?", "#", "\\", "é", "*"][..]),
        0..8,
    );
    let mild = prop::collection::vec(select(&["/a", "/B.", "/.%2F", "/~", "/:@", "/%2ea"][..]), 0..4);
    let path = prop_oneof![wild, mild];
    let scheme = select(&["http://", "https://", "HTTPS://", "hTtP://", "ftp://", "://", ""][..]);
    (scheme, near_host(), path).prop_map(|(scheme, host, path)| format!("{scheme}{host}{}", path.concat()))
}

/// Mostly such as are accepted, which fragments alone seldom make.
pub(crate) fn route_url() -> impl Strategy<Value = String> {
    let scheme = select(&["http", "https", "hTTp", "HTTPS"][..]);
    let userinfo = select(&["", "", "u@", "u:p@x@"][..]);
    let host = prop_oneof![
        3 => "[a-zA-Z][a-z0-9_-]{0,5}(\\.[a-zA-Z][a-z0-9]{0,5}){0,2}\\.?",
        1 => "\\*\\.[a-zA-Z][a-z]{0,5}(\\.[a-z]{1,3})?",
        1 => select(&["[::1]", "[0:0::A:B]", "[::ffff:1.2.3.4]", "0x7f.1", "Bücher.example", "ｘ.example。", "1.2.3.4."][..])
            .prop_map(str::to_owned),
    ];
    let port = select(&["", "", ":", ":80", ":443", ":0443", ":8443", ":65535"][..]);
    let path = "(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[2-7][0-9a-fA-F]){1,4}){0,4}/?";
    (scheme, userinfo, host, port, path).prop_map(|(s, u, h, p, path)| format!("{s}://{u}{h}{p}{path}"))
}
