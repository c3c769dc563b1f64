//! A chain narrows and never widens: tables for what it answers, properties for all that resolvers may say.

use http::{Request, StatusCode};
use proptest::prelude::*;
use tenancy::{
    ApiKeyResolver, Chain, ClaimResolver, ConstantResolver, HeaderResolver, HostResolver, PathResolver, Principal,
    Proof, RequestHead, Resolution, TenantResolver, resolver_fn,
};

use crate::resolvers::request;

fn says(resolution: Resolution) -> impl TenantResolver {
    resolver_fn(move |_: &RequestHead<'_>| resolution.clone())
}

fn chain(answers: impl IntoIterator<Item = Resolution>) -> Chain {
    answers.into_iter().fold(Chain::new(), |chain, answer| chain.then(says(answer)))
}

fn ask(chain: &Chain, principal: Option<&Principal>) -> Resolution {
    let request = Request::new(());
    chain.resolve(&RequestHead { principal, ..RequestHead::of(&request) })
}

#[track_caller]
fn check(answers: &[Resolution], principal: Option<&Principal>, expected: Resolution) {
    assert_eq!(ask(&chain(answers.iter().cloned()), principal), expected);
    assert_eq!(ask(&chain(answers.iter().rev().cloned()), principal), expected, "in reverse");
}

#[test]
fn what_agrees_is_the_answer_with_the_best_proof_there_is() {
    let (hint, proven) = (Resolution::hint("acme"), Resolution::proven("acme"));
    check(&[], None, Resolution::NotMine);
    check(&[Resolution::NotMine], None, Resolution::NotMine);
    check(std::slice::from_ref(&hint), None, hint.clone());
    check(&[hint.clone(), Resolution::NotMine, hint.clone()], None, hint.clone());
    check(&[hint.clone(), proven.clone()], None, proven.clone());
    check(&[proven.clone(), proven.clone()], None, proven);
}

#[test]
fn what_disagrees_is_refused() {
    let both = [Resolution::hint, Resolution::proven];
    for one in both {
        for other in both {
            check(&[one("acme"), other("globex")], None, Resolution::mismatch());
            check(&[one("acme"), other("ACME")], None, Resolution::mismatch());
            check(&[one("acme"), other("")], None, Resolution::mismatch());
        }
    }
}

#[test]
fn the_principals_tenant_counts_where_no_resolver_reads_it() {
    for principal in [Principal::token("user-7"), Principal::api_key("key-7")] {
        let bound = principal.with_tenant("acme");
        check(&[], Some(&bound), Resolution::proven("acme"));
        check(&[Resolution::hint("acme")], Some(&bound), Resolution::proven("acme"));
        check(&[Resolution::hint("globex")], Some(&bound), Resolution::mismatch());
        check(&[Resolution::proven("globex")], Some(&bound), Resolution::mismatch());
    }
}

#[test]
fn a_principal_that_is_bound_to_nobody_goes_where_the_request_says() {
    let operator = Principal::token("operator");
    check(&[Resolution::hint("acme")], Some(&operator), Resolution::hint("acme"));
    check(&[Resolution::hint("acme"), Resolution::hint("globex")], Some(&operator), Resolution::mismatch());
    check(&[], Some(&operator), Resolution::NotMine);
}

#[test]
fn a_principal_that_is_bound_to_an_empty_id_is_not_unbound() {
    let strange = Principal::token("user-7").with_tenant("");
    check(&[Resolution::hint("acme")], Some(&strange), Resolution::mismatch());
    check(&[], Some(&strange), Resolution::proven(""));
}

#[test]
fn a_default_tenant_is_only_for_requests_that_say_nothing() {
    let with_default = |answers: &[Resolution]| chain(answers.iter().cloned()).default_tenant("default-tenant");
    let (bound, operator) = (Principal::token("user-7").with_tenant("acme"), Principal::token("operator"));

    assert_eq!(ask(&with_default(&[]), None), Resolution::hint("default-tenant"));
    assert_eq!(ask(&with_default(&[Resolution::NotMine]), Some(&operator)), Resolution::hint("default-tenant"));
    assert_eq!(ask(&with_default(&[Resolution::hint("acme")]), None), Resolution::hint("acme"));
    assert_eq!(ask(&with_default(&[]), Some(&bound)), Resolution::proven("acme"));
    assert_eq!(ask(&with_default(&[Resolution::mismatch()]), None), Resolution::mismatch());
    assert_eq!(
        ask(&with_default(&[Resolution::hint("acme"), Resolution::hint("globex")]), None),
        Resolution::mismatch()
    );
}

#[test]
fn there_is_no_default_tenant_that_nobody_named() {
    assert_eq!(ask(&Chain::new().then(HeaderResolver::default()), None), Resolution::NotMine);
    assert_eq!(ask(&Chain::new().default_tenant("default-tenant").default_tenant(""), None), Resolution::NotMine);
}

#[test]
fn the_first_refusal_is_the_answer_as_it_was_given() {
    let teapot = Resolution::reject(StatusCode::IM_A_TEAPOT, "teapot");
    let gone = Resolution::reject(StatusCode::GONE, "gone");
    assert_eq!(ask(&chain([Resolution::hint("acme"), teapot.clone(), gone.clone()]), None), teapot);
    assert_eq!(ask(&chain([gone.clone(), teapot]), Some(&Principal::token("u").with_tenant("acme"))), gone);
}

#[test]
fn a_chain_in_a_chain_weighs_the_same() {
    let request = request("/t/acme/orders", &[("x-tenant-id", b"acme"), ("host", b"acme.example.com")]);
    let by_host = HostResolver::subdomain_of("example.com").expect("a host");
    let inner = Chain::new().then(PathResolver::below("/t")).then(by_host);
    let outer =
        Chain::new().then(inner.clone()).then(HeaderResolver::default()).then(ClaimResolver).then(ApiKeyResolver);
    let head = RequestHead::of(&request);
    let ours = Principal::api_key("key-7").with_tenant("acme");
    let theirs = Principal::api_key("key-8").with_tenant("globex");

    assert_eq!(outer.resolve(&head), Resolution::hint("acme"));
    assert_eq!(outer.resolve(&head.with_principal(&ours)), Resolution::proven("acme"));
    assert_eq!(outer.resolve(&head.with_principal(&theirs)), Resolution::mismatch());
    assert_eq!(inner.resolve(&head.with_principal(&theirs)), Resolution::mismatch());
    assert_eq!(outer.then(ConstantResolver::new("globex")).resolve(&head), Resolution::mismatch());
}

/// Few ids, so that answers agree often enough.
fn an_id() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("acme"), 1 => Just("globex"), 1 => Just("Acme"), 1 => Just("")]
}

fn an_answer() -> impl Strategy<Value = Resolution> {
    prop_oneof![
        4 => Just(Resolution::NotMine),
        4 => an_id().prop_map(Resolution::hint),
        2 => an_id().prop_map(Resolution::proven),
        1 => Just(Resolution::reject(StatusCode::BAD_REQUEST, "invalid_tenant")),
    ]
}

fn a_principal() -> impl Strategy<Value = Option<Principal>> {
    let bound = an_id().prop_map(|id| Principal::token("user-7").with_tenant(id));
    proptest::option::of(prop_oneof![Just(Principal::token("operator")), bound])
}

fn is_reject(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Reject { .. })
}

proptest! {
    #[test]
    fn a_chain_narrows_and_never_widens(
        (answers, shuffled) in prop::collection::vec(an_answer(), 0..6)
            .prop_flat_map(|answers| (Just(answers.clone()), Just(answers).prop_shuffle())),
        principal in a_principal(),
        default in proptest::option::of(Just("default-tenant")),
        nested in 0_usize..6,
    ) {
        let with_default = |chain: Chain| default.into_iter().fold(chain, Chain::default_tenant);
        let principal = principal.as_ref();
        let answer = ask(&with_default(chain(answers.clone())), principal);

        // Said by anybody, and proven by anybody.
        let bound_to = principal.and_then(|principal| principal.tenant.clone());
        let said: Vec<_> = answers.iter().filter_map(|answer| answer.tenant_id().cloned()).chain(bound_to.clone()).collect();
        let proven: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                Resolution::Tenant { id, proof: Proof::Proven } => Some(id.clone()),
                _ => None,
            })
            .chain(bound_to)
            .collect();
        let all_agree = said.windows(2).all(|two| two[0] == two[1]) && !answers.iter().any(is_reject);

        match &answer {
            Resolution::Tenant { id, proof } => {
                prop_assert!(all_agree);
                prop_assert!(proven.iter().all(|other| other == id));
                prop_assert_eq!(*proof == Proof::Proven, !proven.is_empty());
                prop_assert!(said.contains(id) || (said.is_empty() && default == Some(id)));
            }
            Resolution::NotMine => prop_assert!(said.is_empty() && all_agree && default.is_none()),
            Resolution::Reject { code, .. } => {
                prop_assert!(!all_agree);
                prop_assert!(*code == "tenant_mismatch" || answers.iter().any(is_reject));
            }
        }

        // The order decides nothing but which of several refusals is shown.
        let otherwise = ask(&with_default(chain(shuffled)), principal);
        prop_assert!(answer == otherwise || (is_reject(&answer) && is_reject(&otherwise)), "{:?} {:?}", answer, otherwise);

        // Nor does it matter which of the resolvers stand in a chain of their own.
        let (head, tail) = answers.split_at(nested.min(answers.len()));
        let outer = head.iter().cloned().fold(Chain::new().then(chain(tail.to_vec())), |chain, answer| chain.then(says(answer)));
        let nested = ask(&with_default(outer), principal);
        prop_assert!(answer == nested || (is_reject(&answer) && is_reject(&nested)), "{:?} {:?}", answer, nested);
    }
}
