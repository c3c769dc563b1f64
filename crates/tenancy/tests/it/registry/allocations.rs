//! What look-ups allocate: nothing, for whoever is served and asked for in normal form, and for whoever is unknown.
//!
//! The counter counts per thread, so that other tests do not disturb it.

use futures_util::FutureExt;
use tenancy::{Register, TenantConfig, TenantRegistry};

#[track_caller]
fn check_allocates_nothing(registry: &TenantRegistry<u8>, host: &str, path: &str, served: bool) {
    // The first look-up of a thread sets the thread up.
    assert_eq!(registry.resolve_by_request(host, path).is_ok(), served);
    let counted = allocation_counter::measure(|| drop(registry.resolve_by_request(host, path)));
    assert_eq!(counted.count_total, 0, "{host}{path}");
}

fn registry(tenant_id: &str, urls: [&str; 3]) -> TenantRegistry<u8> {
    let registry = TenantRegistry::builder().build();
    let config = TenantConfig::new(urls[0], 1).alias(urls[1]).alias(urls[2]);
    assert!(
        registry.register(tenant_id, config, Register::InBackground).now_or_never().is_some_and(|known| known.is_ok())
    );
    registry
}

const URLS: [&str; 3] = ["https://acme.example.com", "https://example.com/acme", "https://*.acme.example"];

#[test]
fn a_host_in_normal_form_costs_no_allocation() {
    let registry = registry("acme", URLS);
    check_allocates_nothing(&registry, "acme.example.com", "/", true);
    check_allocates_nothing(&registry, "acme.example.com", "/orders/17", true);
    check_allocates_nothing(&registry, "example.com", "/acme/orders", true);
    check_allocates_nothing(&registry, "shop.acme.example", "/", true);
    // What only has to be cut off is cut off in place.
    check_allocates_nothing(&registry, "acme.example.com:443", "/", true);
    check_allocates_nothing(&registry, "acme.example.com.", "/", true);
    check_allocates_nothing(&registry, "xn--bcher-kva.acme.example", "/", true);
    check_allocates_nothing(&registry, "nobody.example.com", "/", false);
    check_allocates_nothing(&registry, "example.com", "/nobody", false);
}

/// Longer ids are shared instead of copied.
#[test]
fn an_id_of_any_length_costs_no_allocation() {
    let registry = registry(&"acme-".repeat(50), URLS);
    check_allocates_nothing(&registry, "acme.example.com", "/", true);
}
