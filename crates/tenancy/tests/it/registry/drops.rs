//! What is held and when it is let go: platforms, tasks, and values of others whose `drop` comes back to the registry.

use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use tenancy::{Register, TenantConfig, TenantRegistry, ValidationTarget, Verdict, validator_fn};

use super::{Answer, Judge, Work, Works, enter, eventually, judged, marked, registered};

const URL: &str = "https://acme.example.com";

fn watched(url: &str) -> (TenantConfig<String>, Weak<String>) {
    let platform = Arc::new("platform".to_owned());
    let weak = Arc::downgrade(&platform);
    (TenantConfig::shared(url, platform), weak)
}

/// Changes that have nothing to do with anybody who is there.
async fn further_changes(registry: &TenantRegistry<String>) {
    for n in 0..100 {
        let config = TenantConfig::new(format!("https://further-{n}.example.com"), String::new());
        registered(registry.register(format!("further-{n}"), config, Register::default()).await);
        assert!(registry.unregister(&format!("further-{n}")));
    }
}

/// Changes from several threads at once leave nothing with the threads that made them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn platforms_that_were_replaced_from_several_threads_are_dropped() {
    for _ in 0..5 {
        let registry = TenantRegistry::builder().build();
        let platforms: Arc<Mutex<Vec<Weak<String>>>> = Arc::default();
        let replacing: Vec<_> = (0..8)
            .map(|n| {
                let (registry, platforms) = (registry.clone(), Arc::clone(&platforms));
                tokio::spawn(async move {
                    let (id, url) = (format!("t-{n}"), format!("https://t-{n}.example.com"));
                    let (config, weak) = watched(&url);
                    platforms.lock().unwrap().push(weak);
                    registered(registry.register(id.clone(), config, Register::default()).await);
                    for _ in 0..100 {
                        let (config, weak) = watched(&url);
                        platforms.lock().unwrap().push(weak);
                        assert!(registry.replace(&id, config).await.is_ok());
                        assert!(registry.resolve_by_host(&format!("t-{n}.example.com")).is_ok());
                    }
                })
            })
            .collect();
        for task in replacing {
            assert!(task.await.is_ok());
        }
        (0..8).for_each(|n| assert!(registry.unregister(&format!("t-{n}"))));
        further_changes(&registry).await;
        let alive = platforms.lock().unwrap().iter().filter(|weak| weak.upgrade().is_some()).count();
        assert_eq!(alive, 0, "of {}", platforms.lock().unwrap().len());
    }
}

#[tokio::test]
async fn the_platform_of_a_tenant_that_left_is_dropped_once_nobody_holds_it() {
    let registry = TenantRegistry::builder().build();
    let (config, platform) = watched(URL);
    registered(registry.register("acme", config, Register::default()).await);
    let resolved = registry.get("acme").unwrap();
    let copy = resolved.clone();
    assert!(registry.unregister("acme"));
    further_changes(&registry).await;
    assert!(platform.strong_count() > 0, "a request in flight holds it");
    drop(resolved);
    assert!(platform.strong_count() > 0, "another does");
    drop(copy);
    further_changes(&registry).await;
    assert_eq!(platform.strong_count(), 0);
}

#[tokio::test]
async fn the_platform_that_was_replaced_is_dropped_once_nobody_holds_it() {
    let registry = TenantRegistry::builder().build();
    let (config, platform) = watched(URL);
    registered(registry.register("acme", config, Register::default()).await);
    let resolved = registry.get("acme").unwrap();
    let (new, still) = watched(URL);
    registered(registry.replace("acme", new).await);
    drop(resolved);
    further_changes(&registry).await;
    assert_eq!((platform.strong_count(), still.strong_count() > 0), (0, true));
}

/// Look-ups on other threads meanwhile may put it off, but not for good.
#[test]
fn platforms_are_dropped_also_where_other_threads_look_them_up_all_the_time() {
    let registry = TenantRegistry::builder().build();
    let done = |registered: Option<Result<_, _>>| assert!(matches!(registered, Some(Ok(_))));
    done(registry.register("acme", watched(URL).0, Register::default()).now_or_never());
    let over = std::sync::atomic::AtomicBool::new(false);
    let mut platforms = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(registry.resolve_by_host("acme.example.com").is_ok());
                }
            });
        }
        for _ in 0..500 {
            let (config, platform) = watched(URL);
            platforms.push(platform);
            done(registry.replace("acme", config).now_or_never());
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    done(registry.replace("acme", watched(URL).0).now_or_never());
    assert_eq!(platforms.iter().filter(|platform| platform.strong_count() > 0).count(), 0);
}

#[tokio::test]
async fn what_is_refused_is_dropped() {
    let judge = Judge::new();
    let registry = TenantRegistry::builder()
        .validator(validator_fn(|target: ValidationTarget| async move {
            if target.urls[0] == URL { Verdict::Valid } else { Verdict::Permanent("no".into()) }
        }))
        .build();
    registered(registry.register("acme", watched(URL).0, Register::default()).await);
    let (again, platform) = watched("https://other.example.com");
    assert!(registry.register("acme", again, Register::default()).await.is_err());
    assert_eq!(platform.strong_count(), 0);
    let (replacement, platform) = watched("https://other.example.com");
    assert!(registry.replace("acme", replacement).await.is_err());
    assert_eq!(platform.strong_count(), 0);
    drop(judge);
}

#[tokio::test]
async fn everything_goes_with_the_registry() {
    let registry = TenantRegistry::builder().build();
    let (config, platform) = watched(URL);
    registered(registry.register("acme", config, Register::default()).await);
    let clone = registry.clone();
    drop(registry);
    assert!(clone.get("acme").is_ok());
    drop(clone);
    assert_eq!(platform.strong_count(), 0);
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_registry_that_was_dropped_end() {
    let judge = Judge::of("hangs", Answer::Hangs);
    let registry = judged(&judge).recheck_every(Duration::from_secs(60)).build();
    enter(&registry, "acme", URL).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    let config = marked("https://hangs.example.com", "hangs");
    registered(registry.register("hangs", config, Register::InBackground).await);
    judge.was_asked(1).await;
    assert!(tasks() > 0);
    drop(registry);
    // The one that hangs may take its time limit.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!((tasks(), Arc::strong_count(&judge)), (0, 1));
}

#[tokio::test]
async fn nothing_runs_where_nothing_is_to_be_done() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    enter(&registry, "acme", URL).await;
    registered(registry.recheck("acme").await);
    registered(registry.replace("acme", marked(URL, "new")).await);
    eventually("no task", || tasks() == 0).await;
}

type Shared = Arc<OnceLock<TenantRegistry<Nosy>>>;

/// A platform that asks the registry about everything, and changes it, when it is dropped.
struct Nosy {
    registry: Shared,
    dropped: Arc<Mutex<Vec<&'static str>>>,
    name: &'static str,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let Some(registry) = self.registry.get() else { return };
        let _ = (registry.list(), registry.status("acme"), registry.health("acme"), registry.get("acme").err());
        let _ = registry.resolve_by_host("acme.example.com").err();
        let _ = (registry.suspend("acme", "nosy"), registry.resume("acme"), registry.unregister("nobody"));
        let own = TenantConfig::lazy("https://nosy.example.com", || async { Err("never") });
        let _ = registry.register("nosy", own, Register::InBackground).now_or_never();
        let _ = registry.unregister("nosy");
        if let Ok(mut dropped) = self.dropped.lock() {
            dropped.push(self.name);
        }
    }
}

/// Runs `work` on a thread of its own: what is locked twice would hang there for good.
#[track_caller]
fn ends(work: impl FnOnce() + Send + 'static) {
    let (done, ends) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    assert!(ends.recv_timeout(super::DEADLINE).is_ok(), "it hangs, or panicked");
}

#[test]
fn the_drop_of_a_platform_may_come_back_to_the_registry() {
    let dropped: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let seen = Arc::clone(&dropped);
    ends(move || {
        let shared: Shared = Arc::default();
        let registry = TenantRegistry::builder().build();
        let _ = shared.set(registry.clone());
        let nosy = |name| Nosy { registry: Arc::clone(&shared), dropped: Arc::clone(&dropped), name };
        let enter = |id: &str, url: &str, name| {
            registry
                .register(id, TenantConfig::new(url, nosy(name)), Register::default())
                .now_or_never()
                .unwrap()
                .is_ok()
        };
        assert!(enter("acme", URL, "replaced"));
        assert!(!enter("acme", "https://other.example.com", "twice"));
        assert!(!enter("other", URL, "taken"));
        assert!(registry.replace("acme", TenantConfig::new(URL, nosy("left"))).now_or_never().unwrap().is_ok());
        assert!(registry.replace("nobody", TenantConfig::new(URL, nosy("unknown"))).now_or_never().unwrap().is_err());
        assert!(registry.unregister("acme"));
        assert!(enter("acme", URL, "held"));
        let held = registry.get("acme").unwrap();
        assert!(registry.unregister("acme"));
        drop(held);
    });
    assert_eq!(*seen.lock().unwrap(), ["twice", "taken", "replaced", "unknown", "left", "held"]);
}

/// What is built, or validated, for a tenant that leaves meanwhile is dropped by the task that had it built.
#[tokio::test]
async fn the_platform_of_a_tenant_that_left_while_it_was_built_is_dropped() {
    let works = Works::that(Work::Hangs);
    let registry = super::open();
    registered(registry.register("acme", works.config(URL, "built"), Register::InBackground).await);
    let asking = registry.clone();
    let request = tokio::spawn(async move { asking.resolve_lazy("acme.example.com").await.is_ok() });
    works.ran(1).await;
    assert!(registry.unregister("acme"));
    assert!(!super::within("an answer", request).await.unwrap());
    eventually("no task", || tasks() == 0).await;
    // The factory itself is gone as well.
    assert_eq!(Arc::strong_count(&works.0), 1);
}
