//! `unregister`: who is told, who goes on, and that what arrives afterwards changes nothing.

use tenancy::{Health, Refusal, Register, RegistryError, TenantStatus};
use tokio::task::JoinHandle;

use super::{
    Answer, Judge, Registry, Work, Works, enter, eventually, judged, marked, nobody_at, open, permanent, registered,
    serves, unknown_tenant, valid, within,
};

const URL: &str = "https://acme.example.com";

#[tokio::test]
async fn it_says_whether_the_tenant_was_registered_and_nothing_of_it_is_left() {
    let registry = open();
    assert!(!registry.unregister("acme"));
    let config = marked(URL, "acme").alias("https://example.com/acme").alias("https://*.acme.example");
    registered(registry.register("acme", config, Register::default()).await);
    assert!(registry.unregister("acme") && !registry.unregister("acme"));
    assert_eq!((registry.health("acme"), registry.status("acme"), registry.list()), (None, None, vec![]));
    assert!(registry.is_empty());
    assert_eq!(registry.get("acme").unwrap_err(), Refusal::UnknownTenant);
    for (host, path) in [("acme.example.com", "/"), ("example.com", "/acme"), ("a.acme.example", "/")] {
        nobody_at(&registry, host, path);
    }
    let config = marked(URL, "other").alias("https://example.com/acme").alias("https://*.acme.example");
    registered(registry.register("other", config, Register::default()).await);
}

#[tokio::test]
async fn requests_in_flight_finish() {
    let registry = open();
    enter(&registry, "acme", URL).await;
    let held = registry.get("acme").unwrap();
    assert!(registry.unregister("acme"));
    assert_eq!((*held.platform, held.health), ("acme", Health::Healthy));
}

fn waiting<F>(call: F) -> JoinHandle<Result<TenantStatus, RegistryError>>
where
    F: Future<Output = Result<TenantStatus, RegistryError>> + Send + 'static,
{
    tokio::spawn(call)
}

/// While the validator hangs, and without waiting for its time limit: the deadline of `within` is above it, so the clock
/// stands still unless something waits for it.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_tenant_that_leaves_is_told_at_once() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    let (r1, r2, r3, r4) = (registry.clone(), registry.clone(), registry.clone(), registry.clone());
    let register = waiting(async move { r1.register("acme", marked(URL, "acme"), Register::default()).await });
    judge.was_asked(1).await;
    let recheck = waiting(async move { r2.recheck("acme").await });
    let replace = waiting(async move { r3.replace("acme", marked(URL, "new")).await });
    let other = waiting(async move { r4.replace("acme", marked(URL, "newer")).await });
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    assert!(registry.unregister("acme"));
    for call in [register, recheck, replace, other] {
        assert_eq!(call.await.unwrap(), Err(unknown_tenant("acme")));
    }
    assert_eq!(began.elapsed().as_millis(), 0);
    assert_eq!(judge.under_way.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_platform_of_a_tenant_that_leaves_is_told_at_once() {
    let (registry, works) = (open(), Works::that(Work::Hangs));
    let (r1, r2, r3) = (registry.clone(), registry.clone(), registry.clone());
    let config = works.config(URL, "built");
    let register = waiting(async move { r1.register("acme", config, Register::default()).await });
    works.ran(1).await;
    let request = tokio::spawn(async move { r2.resolve_lazy("acme.example.com").await.map(|_| ()) });
    let replacement = works.config("https://new.example.com", "new");
    let replace = waiting(async move { r3.replace("acme", replacement).await });
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    assert!(registry.unregister("acme"));
    assert_eq!(register.await.unwrap(), Err(unknown_tenant("acme")));
    assert_eq!(replace.await.unwrap(), Err(unknown_tenant("acme")));
    assert_eq!(request.await.unwrap(), Err(Refusal::UnknownHost));
    assert_eq!(began.elapsed().as_millis(), 0);
}

/// Not even one that does not let its thread go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_validator_that_blocks_its_thread_keeps_nobody_waiting_for_a_tenant_that_left() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (began, begins) = tokio::sync::oneshot::channel();
    let began = std::sync::Mutex::new(Some(began));
    let registry: Registry = tenancy::TenantRegistry::builder()
        .validator(tenancy::validator_fn(move |_| {
            if let Some(began) = began.lock().unwrap().take() {
                let _ = began.send(());
            }
            let _ = held.lock().unwrap().recv();
            async { tenancy::Verdict::Valid }
        }))
        .build();
    let registering = registry.clone();
    let register = waiting(async move { registering.register("acme", marked(URL, "acme"), Register::default()).await });
    within("the validation", begins).await.unwrap();
    assert!(registry.unregister("acme"));
    assert_eq!(within("an answer", register).await.unwrap(), Err(unknown_tenant("acme")));
    drop(release);
}

#[tokio::test]
async fn a_verdict_that_arrives_after_the_tenant_left_is_ignored() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    registered(registry.register("acme", marked(URL, "acme"), Register::InBackground).await);
    judge.was_asked(1).await;
    let mut events = registry.subscribe();
    assert!(registry.unregister("acme"));
    judge.tell("acme", valid());
    eventually("nothing under way", || judge.under_way.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    assert_eq!(registry.health("acme"), None);
    assert_eq!(super::changes_so_far(&mut events), [("acme".into(), Some(Health::Pending), None)]);
}

#[tokio::test]
async fn a_verdict_on_a_tenant_that_left_says_nothing_of_one_that_came_under_its_id() {
    let judge = Judge::of("old", Answer::Hangs);
    let registry = judged(&judge).build();
    registered(registry.register("acme", marked(URL, "old"), Register::InBackground).await);
    judge.was_asked(1).await;
    assert!(registry.unregister("acme"));
    registered(registry.register("acme", marked(URL, "new"), Register::default()).await);
    judge.tell("old", permanent("wrong key"));
    eventually("nothing under way", || judge.under_way.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    assert_eq!(registry.health("acme"), Some(Health::Healthy));
    serves(&registry, "acme.example.com", "/", "new");
}

#[tokio::test]
async fn a_platform_that_is_built_after_the_tenant_left_serves_nobody() {
    let (registry, works) = (open(), Works::that(Work::Hangs));
    registered(registry.register("acme", works.config(URL, "old"), Register::InBackground).await);
    let asking = registry.clone();
    let request =
        tokio::spawn(async move { asking.resolve_lazy("acme.example.com").await.map(|found| *found.platform) });
    works.ran(1).await;
    assert!(registry.unregister("acme"));
    let next = Works::default();
    registered(registry.register("acme", next.config(URL, "new"), Register::InBackground).await);
    works.tell(Work::Succeeds);
    // Whoever waited finds whom it finds now, and does not have it built.
    let answer = within("an answer", request).await.unwrap();
    assert!(matches!(answer, Err(Refusal::Pending { .. })), "{answer:?}");
    assert_eq!(*within("an answer", registry.resolve_lazy("acme.example.com")).await.unwrap().platform, "new");
}

#[tokio::test]
async fn a_replacement_of_a_tenant_that_left_does_not_replace_one_that_came_under_its_id() {
    let judge = Judge::of("new", Answer::Hangs);
    let registry = judged(&judge).build();
    enter(&registry, "acme", URL).await;
    let replacing = registry.clone();
    let replace = waiting(async move { replacing.replace("acme", marked("https://new.example.com", "new")).await });
    judge.was_asked(2).await;
    assert!(registry.unregister("acme"));
    enter(&registry, "acme", URL).await;
    judge.tell("new", valid());
    assert_eq!(within("an answer", replace).await.unwrap(), Err(unknown_tenant("acme")));
    assert_eq!(registry.status("acme").unwrap().config_version, 1);
    enter(&registry, "other", "https://new.example.com").await;
}
