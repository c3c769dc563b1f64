//! A validator and a resolver of one's own: whether a tenant paid, and a tenant that is named by a query parameter.
//!
//! `cargo run -p tenancy --example custom_parts`. Both are traits of one method; nothing else has to change.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, RwLock};

use http::Request;
use tenancy::{
    Chain, ClaimResolver, Principal, Register, RequestHead, Resolution, TenantConfig, TenantRegistry, TenantResolver,
    ValidationTarget, Validator, Verdict, async_trait,
};

/// Fit to serve is who paid. The books may be out of reach, which is nobody's fault and passes.
struct Paid {
    books: Arc<RwLock<Option<BTreeSet<String>>>>,
}

#[async_trait]
impl Validator for Paid {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        let Ok(books) = self.books.read() else {
            return Verdict::Transient("the books cannot be read".into());
        };
        match books.as_ref() {
            None => Verdict::Transient("the books are closed".into()),
            Some(paid) if paid.contains(&*target.tenant_id) => Verdict::Valid,
            Some(_) => Verdict::Permanent("has not paid".into()),
        }
    }
}

/// Reads `?tenant=`. Anybody can write that, so it is a hint: it may narrow what is proven, and never widen it.
struct QueryResolver;

impl TenantResolver for QueryResolver {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        let named: Vec<&str> = request
            .uri
            .query()
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter_map(|pair| pair.strip_prefix("tenant="))
            .collect();
        match named[..] {
            [] => Resolution::NotMine,
            [one] => Resolution::hint(one),
            // Which of them is meant is not ours to guess.
            _ => Resolution::mismatch(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let books = Arc::new(RwLock::new(Some(BTreeSet::from(["acme".to_owned()]))));
    let registry = TenantRegistry::builder().validator(Paid { books: Arc::clone(&books) }).build();
    for id in ["acme", "globex"] {
        let config = TenantConfig::new(format!("https://{id}.example.com"), format!("the shop of {id}"));
        let status = registry.register(id, config, Register::AwaitFirstValidation).await?;
        println!("{id}: {} {}", status.health, status.reason.as_deref().unwrap_or_default());
    }
    if let Ok(mut books) = books.write() {
        *books = None;
    }
    for id in ["acme", "globex"] {
        let status = registry.recheck(id).await?;
        println!("{id}, with the books closed: {} {}", status.health, status.reason.as_deref().unwrap_or_default());
    }

    let chain = Chain::new().then(ClaimResolver).then(QueryResolver);
    let of_acme = Principal::token("alice").with_tenant("acme");
    for (uri, principal) in [
        ("/orders?tenant=acme", None),
        ("/orders?tenant=globex", None),
        ("/orders", Some(&of_acme)),
        ("/orders?tenant=globex", Some(&of_acme)),
    ] {
        let request = Request::get(uri).body(())?;
        let mut head = RequestHead::of(&request);
        if let Some(principal) = principal {
            head = head.with_principal(principal);
        }
        let by = if principal.is_some() { " with Acme's token" } else { "" };
        let answer = match chain.resolve(&head) {
            Resolution::Tenant { id, proof } => match registry.get(&id) {
                Ok(resolved) => format!("{} ({proof:?})", resolved.platform),
                Err(refusal) => format!("503 {refusal}"),
            },
            Resolution::NotMine => "404".to_owned(),
            Resolution::Reject { status, code } => format!("{} {code}", status.as_u16()),
        };
        println!("GET {uri}{by}: {answer}");
    }
    Ok(())
}
