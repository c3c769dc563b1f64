//! Where the registry works: in runtimes of either flavour, in none where nothing has to be waited for, and in the next
//! one when the first has ended.

use std::time::Duration;

use futures_util::FutureExt;
use tenancy::{Health, Register};
use tokio::runtime::{Builder, Runtime};

use super::{Answer, Judge, Registry, Works, enter, judged, marked, open, registered, serves, valid};

const URL: &str = "https://acme.example.com";
const HOST: &str = "acme.example.com";

#[track_caller]
fn runtime(threads: usize) -> Runtime {
    let built = if threads == 0 {
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    match built {
        Ok(runtime) => runtime,
        Err(error) => unreachable!("{error}"),
    }
}

async fn everything(registry: &Registry) {
    enter(registry, "acme", URL).await;
    registered(registry.recheck("acme").await);
    registered(registry.replace("acme", marked(URL, "new")).await);
    serves(registry, HOST, "/", "new");
    let works = Works::default();
    let config = works.config("https://beta.example.com", "beta");
    registered(registry.register("beta", config, Register::InBackground).await);
    let resolved = super::within("an answer", async {
        while registry.resolve_lazy("beta.example.com").await.is_err() {
            tokio::task::yield_now().await;
        }
        registry.resolve_lazy("beta.example.com").await
    });
    assert!(resolved.await.is_ok());
    assert!(registry.unregister("acme") && registry.unregister("beta"));
}

#[test]
fn everything_works_in_runtimes_of_either_flavour_with_a_validator_and_without_one() {
    for threads in [0, 1, 4] {
        runtime(threads).block_on(async {
            everything(&open()).await;
            everything(&judged(&Judge::new()).build()).await;
            everything(&judged(&Judge::new()).recheck_every(Duration::from_millis(1)).build()).await;
        });
    }
}

/// Where tokio would panic if it were asked for anything.
#[test]
fn without_a_validator_eager_tenants_need_no_runtime() {
    let registry: Registry = tenancy::TenantRegistry::builder().recheck_every(Duration::from_secs(1)).build();
    let mut events = registry.subscribe();
    for how in [Register::AwaitFirstValidation, Register::InBackground] {
        registered(registry.register("acme", marked(URL, "acme"), how).now_or_never().unwrap());
        registered(registry.recheck("acme").now_or_never().unwrap());
        registered(registry.replace("acme", marked(URL, "new")).now_or_never().unwrap());
        serves(&registry, HOST, "/", "new");
        assert!(registry.resolve_lazy(HOST).now_or_never().unwrap().is_ok());
        assert!(registry.suspend("acme", "not paid") && registry.resume("acme"));
        assert!(registry.unregister("acme"));
    }
    assert_eq!(super::events_so_far(&mut events).len(), 4);
}

#[test]
fn look_ups_need_no_runtime() {
    let registry = judged(&Judge::new()).build();
    runtime(0).block_on(enter(&registry, "acme", URL));
    serves(&registry, HOST, "/", "acme");
    assert!(registry.suspend("acme", "not paid") && registry.resume("acme") && registry.unregister("acme"));
}

#[test]
fn a_lazy_tenant_is_registered_without_a_runtime_and_built_in_one() {
    let (registry, works) = (open(), Works::default());
    let entered = registry.register("acme", works.config(URL, "built"), Register::InBackground).now_or_never();
    assert_eq!(registered(entered.unwrap()).health, Health::Pending);
    assert!(runtime(0).block_on(registry.resolve_lazy(HOST)).is_ok());
}

#[test]
fn who_waits_for_a_validation_whose_runtime_ended_has_another_one_made() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    let first = runtime(1);
    first.block_on(async {
        registered(registry.register("acme", marked(URL, "acme"), Register::InBackground).await);
        judge.was_asked(1).await;
    });
    let second = runtime(1);
    let recheck = second.spawn({
        let registry = registry.clone();
        async move { registry.recheck("acme").await }
    });
    drop(first);
    let status = second.block_on(async {
        judge.was_asked(2).await;
        judge.tell("acme", valid());
        super::within("the recheck", recheck).await
    });
    assert_eq!(registered(status.unwrap()).health, Health::Healthy);
}

#[test]
fn the_background_recheck_goes_on_in_the_next_runtime() {
    let judge = Judge::new();
    let registry = judged(&judge).recheck_every(Duration::from_millis(5)).build();
    runtime(0).block_on(enter(&registry, "acme", URL));
    for replaces in [false, true] {
        runtime(0).block_on(async {
            let calls = judge.calls();
            registered(match replaces {
                true => registry.replace("acme", marked(URL, "acme")).await,
                false => registry.recheck("acme").await,
            });
            judge.was_asked(calls + 4).await;
        });
    }
}
