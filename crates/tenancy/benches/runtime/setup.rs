//! Registries of a given size, and the bare map beside them.

use std::sync::Arc;
use std::time::Instant;

use foldhash::quality::RandomState;
use futures_util::FutureExt;
use tenancy::{Register, TenantConfig, TenantRegistry};

/// What a tenant is served by here.
pub(crate) type Platform = u64;

/// The concurrent map of the registry, with the platform alone behind each host.
pub(crate) type Bare = papaya::HashMap<Box<str>, Arc<Platform>, RandomState>;

/// The host of tenant `i`, in normal form and 24 bytes long.
pub(crate) fn host(i: usize) -> String {
    format!("tenant-{i:07}.example.com")
}

/// Registers tenant `i` for the host.
pub(crate) fn register(registry: &TenantRegistry<Platform>, i: usize) {
    let config = TenantConfig::new(format!("https://{}", host(i)), i as Platform);
    let registering = registry.register(format!("t-{i}"), config, Register::InBackground);
    let status = registering.now_or_never().expect("nothing to wait for").expect("a free route");
    assert!(status.health.serves());
}

/// A registry of `tenants`.
pub(crate) fn registry(tenants: usize) -> TenantRegistry<Platform> {
    let registry = TenantRegistry::builder().build();
    (0..tenants).for_each(|i| register(&registry, i));
    registry
}

/// A bare map of as many.
pub(crate) fn bare(tenants: usize) -> Bare {
    let map = Bare::with_hasher(RandomState::default());
    (0..tenants).for_each(|i| {
        map.pin().insert(host(i).into_boxed_str(), Arc::new(i as Platform));
    });
    map
}

/// Hosts in an order that no prefetcher guesses, of which the next is chosen by the answer to the one before.
pub(crate) struct Walk {
    hosts: Vec<String>,
}

impl Walk {
    /// Over `tenants` hosts, spelled by `spell`.
    pub(crate) fn new(tenants: usize, spell: impl Fn(usize) -> String) -> Self {
        Self { hosts: (0..tenants).map(spell).collect() }
    }

    /// Nanoseconds per look-up, of `count` look-ups each of which waits for the last one's answer. `look` says which
    /// tenant it found.
    pub(crate) fn time(&self, count: usize, from: usize, look: impl Fn(&str) -> Platform) -> f64 {
        let tenants = self.hosts.len() as u64;
        let mut at = from as u64 % tenants;
        let mut found = 0;
        let start = Instant::now();
        for step in 0..count as u64 {
            found = look(&self.hosts[at as usize]);
            // Needs the answer, and goes everywhere.
            at = (found.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(step.wrapping_mul(0xD1B5_4A32_D192_ED03))
                >> 17)
                % tenants;
        }
        let elapsed = start.elapsed();
        std::hint::black_box(found);
        elapsed.as_nanos() as f64 / count as f64
    }
}
