//! Many axum apps behind one listener, told apart by host, with a tenant in every state that there is.
//!
//! `cargo run -p tenancy --example many_apps --features serve`, and then the commands that it prints. Ctrl-C ends it.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::{Router, routing::get};
use tenancy::{
    AdminOptions, AuthError, BearerTokenAuth, Principal, Register, ServeOptions, Tenant, TenantConfig, TenantRegistry,
    ValidationTarget, Verdict, serve, validator_fn,
};

/// A tenant's own app. It may be any tower service; here it is the same router with other words in it.
fn app(greeting: &'static str) -> Router {
    Router::new()
        .route("/", get(move || async move { format!("{greeting}\n") }))
        .route("/who", get(|tenant: Tenant<Router>| async move { format!("{} {}\n", tenant.tenant_id, tenant.health) }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A real validator looks at the tenant; this one does as the tenant's metadata say.
    let outage = Arc::new(AtomicBool::new(false));
    let validator = validator_fn({
        let outage = Arc::clone(&outage);
        move |target: ValidationTarget| {
            let verdict = match target.metadata.get("verdict").map(String::as_str) {
                Some("unreachable") => Verdict::Transient("no route to host".into()),
                Some("revoked") => Verdict::Permanent("the key is not published any more".into()),
                Some("far away") if outage.load(Ordering::Relaxed) => Verdict::Transient("no route to host".into()),
                _ => Verdict::Valid,
            };
            async move { verdict }
        }
    });
    let registry = TenantRegistry::builder().validator(validator).build();

    for (id, verdict, greeting) in [
        ("acme", "fine", "Welcome to Acme"),
        ("globex", "far away", "Globex, seen from far away"),
        ("initech", "unreachable", "never seen: not validated yet"),
        ("hooli", "revoked", "never seen: disabled"),
        ("umbrella", "fine", "not seen while it is suspended"),
    ] {
        let config = TenantConfig::new(format!("http://{id}.localhost"), app(greeting)).metadata("verdict", verdict);
        registry.register(id, config, Register::AwaitFirstValidation).await?;
    }
    // Built when it is first asked for, and once however many ask.
    let lazy = TenantConfig::lazy("http://acme.localhost/lazy", async || {
        println!("building the lazy tenant");
        Ok::<_, String>(Router::new().route("/lazy", get(async || "built just now\n")))
    });
    registry.register("lazy", lazy, Register::InBackground).await?;

    outage.store(true, Ordering::Relaxed);
    registry.recheck("globex").await?;
    registry.suspend("umbrella", "not paid");

    let options = ServeOptions::default();
    let operators = BearerTokenAuth::new(|token: String| async move {
        if token == "operator" { Ok(Principal::api_key("operator")) } else { Err(AuthError::Invalid) }
    });
    let admin = AdminOptions::new(([127, 0, 0, 1], 9090), operators);

    let addr = options.addr;
    for (host, path, what) in [
        ("acme.localhost", "/", "200, healthy"),
        ("acme.localhost", "/who", "200, who the tenant is"),
        ("acme.localhost", "/lazy", "200, built by this request"),
        ("globex.localhost", "/who", "200, unverified: it was valid, and cannot be reached now"),
        ("initech.localhost", "/", "503 tenant_pending"),
        ("hooli.localhost", "/", "503 tenant_disabled"),
        ("umbrella.localhost", "/", "503 tenant_suspended"),
        ("nobody.localhost", "/", "404"),
    ] {
        println!("curl -i -H 'Host: {host}' http://{addr}{path}   # {what}");
    }
    println!("curl -H 'Authorization: Bearer operator' http://127.0.0.1:9090/tenants   # how all of them stand");

    serve(registry, ServeOptions { admin: Some(admin), ..options }).await?;
    Ok(())
}
