//! Random sequences of everything that can be done, one after the other, against a model that is plain maps and lists.
//!
//! The model says the contract's rules again, in its own words: it knows no slots, flights or tables, and reads every
//! route from one end to the other. Time is tokio's, paused. Invariant: after every step the registry shows, serves and
//! refuses what the model does, and has told its subscribers of the same changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tenancy::{
    Health, HealthEvents, Refusal, Register, RegistryError, TenantConfig, TenantRegistry, TenantStatus, prefix_covers,
};

use super::{Answer, Change, Judge, changes_so_far};

/// Sequences, and steps of each.
const CASES: u32 = 256;
const STEPS: std::ops::Range<usize> = 1..40;

const IDS: &[&str] = &["a", "b", "c"];
const HOSTS: &[&str] = &["x.example", "y.x.example", "z.x.example"];
const PATHS: &[&str] = &["/", "/p", "/p/q", "/p/q/r", "/pq"];
/// As registered: host and prefix.
const ROUTES: &[(&str, &str)] = &[
    ("x.example", "/"),
    ("x.example", "/p"),
    ("x.example", "/p/q"),
    ("y.x.example", "/"),
    ("y.x.example", "/p"),
    ("z.x.example", "/p"),
    ("*.x.example", "/"),
    ("*.x.example", "/p"),
];

type Route = (&'static str, &'static str);

#[derive(Clone, Debug)]
struct Spec {
    routes: Vec<Route>,
    lazy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Finding {
    Valid,
    Transient,
    Permanent,
    Panics,
}

#[derive(Clone, Debug)]
enum Step {
    Register {
        id: &'static str,
        spec: Spec,
        how: Register,
        finding: Finding,
        builds: bool,
    },
    Replace {
        id: &'static str,
        spec: Spec,
        finding: Finding,
        builds: bool,
    },
    Recheck {
        id: &'static str,
        finding: Finding,
        builds: bool,
    },
    Request {
        host: &'static str,
        path: &'static str,
        builds: bool,
    },
    Suspend {
        id: &'static str,
        reason: &'static str,
    },
    Resume {
        id: &'static str,
    },
    Unregister {
        id: &'static str,
    },
    /// So long that everybody is rechecked in the background.
    Wait {
        finding: Finding,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let id = || select(IDS);
    let finding = || prop_oneof![5 => Just(Finding::Valid), 2 => Just(Finding::Transient), 2 => Just(Finding::Permanent), 1 => Just(Finding::Panics)];
    let spec = || {
        (prop::collection::vec(select(ROUTES), 1..4), prop::bool::weighted(0.4)).prop_map(|(mut routes, lazy)| {
            let all = routes.clone();
            let mut at = 0;
            routes.retain(|route| {
                at += 1;
                !all[..at - 1].contains(route)
            });
            Spec { routes, lazy }
        })
    };
    let how = || select(&[Register::AwaitFirstValidation, Register::InBackground][..]);
    let builds = || prop::bool::weighted(0.7);
    prop_oneof![
        4 => (id(), spec(), how(), finding(), builds())
            .prop_map(|(id, spec, how, finding, builds)| Step::Register { id, spec, how, finding, builds }),
        4 => (id(), spec(), finding(), builds()).prop_map(|(id, spec, finding, builds)| Step::Replace { id, spec, finding, builds }),
        4 => (id(), finding(), builds()).prop_map(|(id, finding, builds)| Step::Recheck { id, finding, builds }),
        3 => (select(HOSTS), select(PATHS), builds()).prop_map(|(host, path, builds)| Step::Request { host, path, builds }),
        1 => (id(), select(&["not paid", "fraud"][..])).prop_map(|(id, reason)| Step::Suspend { id, reason }),
        1 => id().prop_map(|id| Step::Resume { id }),
        1 => id().prop_map(|id| Step::Unregister { id }),
        1 => finding().prop_map(|finding| Step::Wait { finding }),
    ]
}

/// A tenant as the model knows it.
#[derive(Clone, Debug)]
struct Tenant {
    routes: Vec<Route>,
    platform: usize,
    version: u64,
    health: Health,
    /// Was `Valid`, and was not found permanently wrong since.
    valid: bool,
    ever_valid: bool,
    last_was_valid: bool,
    built: bool,
    factory_failed: bool,
    suspended: Option<&'static str>,
    /// Not known after a time in which rechecks were not counted.
    failures: Option<u32>,
    ever_checked: bool,
}

struct Model {
    tenants: BTreeMap<&'static str, Tenant>,
    changes: Vec<Change>,
    validator: bool,
    auto: bool,
}

impl Model {
    fn set(&mut self, id: &'static str, change: impl FnOnce(&mut Tenant)) {
        let Some(tenant) = self.tenants.get_mut(id) else { return };
        let before = tenant.health;
        change(tenant);
        if tenant.health != before {
            self.changes.push((id.to_owned(), Some(before), Some(tenant.health)));
        }
    }

    fn verdict(&mut self, id: &'static str, finding: Finding) {
        self.set(id, |tenant| {
            tenant.ever_checked = true;
            let failures = tenant.failures.map(|failures| failures + 1);
            match finding {
                Finding::Valid => {
                    (tenant.valid, tenant.ever_valid, tenant.last_was_valid) = (true, true, true);
                    if !tenant.factory_failed {
                        tenant.failures = Some(0);
                        tenant.health = if tenant.built { Health::Healthy } else { Health::Pending };
                    }
                }
                Finding::Transient | Finding::Panics => {
                    (tenant.last_was_valid, tenant.failures) = (false, failures);
                    if tenant.health == Health::Healthy {
                        tenant.health = Health::Unverified;
                    }
                }
                Finding::Permanent => {
                    (tenant.valid, tenant.last_was_valid, tenant.factory_failed) = (false, false, false);
                    (tenant.health, tenant.failures) = (Health::Disabled, failures);
                }
            }
        });
    }

    fn build(&mut self, id: &'static str, succeeds: bool) {
        self.set(id, |tenant| {
            if !tenant.valid || tenant.built {
                return;
            }
            (tenant.built, tenant.factory_failed) = (succeeds, !succeeds);
            tenant.health = match (succeeds, tenant.last_was_valid) {
                (false, _) => Health::Disabled,
                (true, true) => Health::Healthy,
                (true, false) => Health::Unverified,
            };
            match tenant.health {
                Health::Healthy => tenant.failures = Some(0),
                Health::Disabled => tenant.failures = tenant.failures.map(|failures| failures + 1),
                _ => {}
            }
        });
    }

    fn taken(&self, id: &str, spec: &Spec) -> Option<RegistryError> {
        let holds =
            |route: &Route| self.tenants.iter().find(|(held, tenant)| **held != id && tenant.routes.contains(route));
        spec.routes.iter().find_map(|route| {
            let (holder, _) = holds(route)?;
            Some(RegistryError::RouteTaken { host: route.0.into(), path: route.1.into(), holder: (*holder).into() })
        })
    }

    fn find(&self, host: &str, path: &str) -> Option<&'static str> {
        let wild = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let all = || self.tenants.iter().flat_map(|(id, tenant)| tenant.routes.iter().map(move |route| (*id, *route)));
        let host = if all().any(|(_, route)| route.0 == host) { host } else { wild.as_deref()? };
        all()
            .filter(|(_, route)| route.0 == host && prefix_covers(route.1, path))
            .max_by_key(|(_, route)| route.1.trim_end_matches('/').len())
            .map(|(id, _)| id)
    }

    /// The platform that serves, or the name of the refusal.
    fn answer(&self, id: Option<&str>, nobody: &'static str) -> Result<(usize, u64, Health), String> {
        let Some(tenant) = id.and_then(|id| self.tenants.get(id)) else { return Err(nobody.to_owned()) };
        match (tenant.suspended, tenant.health) {
            (Some(reason), _) => Err(format!("suspended {reason}")),
            (None, Health::Healthy | Health::Unverified) => Ok((tenant.platform, tenant.version, tenant.health)),
            (None, health) => Err(health.to_string()),
        }
    }
}

fn told(answer: Result<tenancy::Resolved<usize>, Refusal>) -> Result<(usize, u64, Health), String> {
    answer.map(|resolved| (*resolved.platform, resolved.config_version, resolved.health)).map_err(|refusal| {
        match refusal {
            Refusal::UnknownHost => "no host".to_owned(),
            Refusal::UnknownTenant => "no tenant".to_owned(),
            Refusal::Pending { .. } => "pending".to_owned(),
            Refusal::Disabled { .. } => "disabled".to_owned(),
            Refusal::Suspended { reason } => format!("suspended {reason}"),
            other => other.to_string(),
        }
    })
}

struct Run {
    registry: TenantRegistry<usize>,
    events: HealthEvents,
    judge: Arc<Judge>,
    succeeds: Arc<AtomicBool>,
    model: Model,
    next: usize,
}

impl Run {
    fn new(validator: bool, auto: bool) -> Self {
        let judge = Judge::new();
        let builder = TenantRegistry::builder().auto_validate(auto).recheck_every(Duration::from_secs(60));
        let registry = if validator { builder.validator(Arc::clone(&judge)).build() } else { builder.build() };
        let model = Model { tenants: BTreeMap::new(), changes: Vec::new(), validator, auto };
        Self { events: registry.subscribe(), registry, judge, succeeds: Arc::default(), model, next: 0 }
    }

    fn prepare(&self, about: &str, finding: Finding, builds: bool) {
        self.succeeds.store(builds, Ordering::SeqCst);
        self.judge.tell(
            about,
            match finding {
                Finding::Valid => super::valid(),
                Finding::Transient => super::transient("t"),
                Finding::Permanent => super::permanent("p"),
                Finding::Panics => Answer::Panics,
            },
        );
    }

    fn config(&mut self, spec: &Spec) -> TenantConfig<usize> {
        self.next += 1;
        let (number, succeeds) = (self.next, Arc::clone(&self.succeeds));
        let url = |route: &Route| format!("https://{}{}", route.0, route.1);
        let config = if spec.lazy {
            TenantConfig::lazy(url(&spec.routes[0]), move || {
                std::future::ready(if succeeds.load(Ordering::SeqCst) { Ok(number) } else { Err("no database") })
            })
        } else {
            TenantConfig::new(url(&spec.routes[0]), number)
        };
        spec.routes[1..].iter().fold(config, |config, route| config.alias(url(route)))
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Register { id, spec, how, finding, builds } => {
                self.prepare(id, *finding, *builds);
                let config = self.config(spec);
                let result = self.registry.register(*id, config, *how).await;
                self.settle().await;
                let expected = self.register(id, spec, *how, *finding, *builds);
                prop_assert_eq!(result.as_ref().err(), expected.as_ref());
                if *how == Register::AwaitFirstValidation
                    && let Ok(status) = result
                {
                    prop_assert_eq!(Some(status), self.registry.status(id));
                }
            }
            Step::Replace { id, spec, finding, builds } => {
                self.prepare(id, *finding, *builds);
                let config = self.config(spec);
                let result = self.registry.replace(id, config).await;
                let expected = self.replace(id, spec, *finding, *builds);
                let refused = matches!(result, Err(RegistryError::ReplacementRefused { .. }));
                match expected {
                    Some(None) => prop_assert!(refused, "{:?}", result),
                    Some(expected) => prop_assert_eq!(result.err(), expected),
                    None => prop_assert!(result.is_ok(), "{:?}", result),
                }
            }
            Step::Recheck { id, finding, builds } => {
                self.prepare(id, *finding, *builds);
                let result = self.registry.recheck(id).await;
                let finding = if self.model.validator { *finding } else { Finding::Valid };
                self.model.verdict(id, finding);
                if finding == Finding::Valid {
                    self.model.build(id, *builds);
                }
                prop_assert_eq!(result.ok(), self.registry.status(id));
            }
            Step::Request { host, path, builds } => {
                self.succeeds.store(*builds, Ordering::SeqCst);
                let answer = told(self.registry.resolve_lazy_request(host, path).await);
                let id = self.model.find(host, path);
                if let Some(id) = id
                    && let Some(tenant) = self.model.tenants.get(id)
                    && tenant.suspended.is_none()
                    && tenant.health == Health::Pending
                {
                    self.model.build(id, *builds);
                }
                prop_assert_eq!(answer, self.model.answer(id, "no host"));
            }
            Step::Suspend { id, reason } => {
                let changes =
                    self.model.tenants.get_mut(id).map(|tenant| tenant.suspended.replace(*reason) != Some(*reason));
                prop_assert_eq!(self.registry.suspend(id, *reason), changes.unwrap_or(false));
            }
            Step::Resume { id } => {
                let changes = self.model.tenants.get_mut(id).is_some_and(|tenant| tenant.suspended.take().is_some());
                prop_assert_eq!(self.registry.resume(id), changes);
            }
            Step::Unregister { id } => {
                let left = self.model.tenants.remove(id);
                prop_assert_eq!(self.registry.unregister(id), left.is_some());
                self.model.changes.extend(left.map(|tenant| ((*id).to_owned(), Some(tenant.health), None)));
            }
            Step::Wait { finding } => self.wait(*finding).await,
        }
        self.settle().await;
        self.check()
    }

    fn register(
        &mut self,
        id: &'static str,
        spec: &Spec,
        how: Register,
        finding: Finding,
        builds: bool,
    ) -> Option<RegistryError> {
        if self.model.tenants.contains_key(id) {
            return Some(RegistryError::AlreadyRegistered { tenant_id: id.into() });
        }
        if let Some(taken) = self.model.taken(id, spec) {
            return Some(taken);
        }
        let at_once = !self.model.validator;
        let health = if at_once && !spec.lazy { Health::Healthy } else { Health::Pending };
        let tenant = Tenant {
            routes: spec.routes.clone(),
            platform: self.next,
            version: 1,
            health,
            valid: at_once,
            ever_valid: at_once,
            last_was_valid: at_once,
            built: !spec.lazy,
            factory_failed: false,
            suspended: None,
            failures: Some(0),
            ever_checked: false,
        };
        self.model.tenants.insert(id, tenant);
        self.model.changes.push((id.to_owned(), None, Some(health)));
        if self.model.validator && self.model.auto {
            self.model.verdict(id, finding);
        }
        let validated = at_once || self.model.auto && finding == Finding::Valid;
        if validated && how == Register::AwaitFirstValidation {
            self.model.build(id, builds);
        }
        None
    }

    /// None: it succeeds; none within: it is refused.
    fn replace(
        &mut self,
        id: &'static str,
        spec: &Spec,
        finding: Finding,
        builds: bool,
    ) -> Option<Option<RegistryError>> {
        if !self.model.tenants.contains_key(id) {
            return Some(Some(super::unknown_tenant(id)));
        }
        if let Some(taken) = self.model.taken(id, spec) {
            return Some(Some(taken));
        }
        if self.model.validator && finding != Finding::Valid || spec.lazy && !builds {
            return Some(None);
        }
        let platform = self.next;
        self.model.set(id, |tenant| {
            (tenant.routes, tenant.platform) = (spec.routes.clone(), platform);
            tenant.version += 1;
            (tenant.valid, tenant.ever_valid, tenant.last_was_valid, tenant.built) = (true, true, true, true);
            (tenant.health, tenant.factory_failed, tenant.failures, tenant.ever_checked) =
                (Health::Healthy, false, Some(0), true);
        });
        None
    }

    async fn wait(&mut self, finding: Finding) {
        if !self.model.validator {
            return;
        }
        // Whoever was checked once is in the schedule.
        for id in IDS {
            self.prepare(id, finding, false);
            if self.model.tenants.get(id).is_some_and(|tenant| tenant.ever_checked) {
                self.model.verdict(id, finding);
                self.model.set(id, |tenant| tenant.failures = tenant.failures.filter(|failures| *failures == 0));
            }
        }
        tokio::time::sleep(Duration::from_secs(60 * 10)).await;
        // In which order tenants are rechecked is left to chance.
        let (mut came, mut expected) = (changes_so_far(&mut self.events), std::mem::take(&mut self.model.changes));
        came.sort_by(|one, other| one.0.cmp(&other.0));
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(came, expected);
    }

    /// Lets what runs in the background come to its end.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        prop_assert_eq!(changes_so_far(&mut self.events), std::mem::take(&mut self.model.changes));
        let list = self.registry.list();
        let ids: Vec<&str> = list.iter().map(|status| &*status.tenant_id).collect();
        prop_assert_eq!(ids, self.model.tenants.keys().copied().collect::<Vec<_>>());
        for status in &list {
            self.check_status(status)?;
        }
        for id in IDS {
            prop_assert_eq!(told(self.registry.get(id)), self.model.answer(Some(id), "no tenant"), "{}", id);
        }
        for host in HOSTS {
            for path in PATHS {
                let answer = told(self.registry.resolve_by_request(host, path));
                prop_assert_eq!(answer, self.model.answer(self.model.find(host, path), "no host"), "{}{}", host, path);
            }
        }
        Ok(())
    }

    fn check_status(&self, status: &TenantStatus) -> Result<(), TestCaseError> {
        let tenant = &self.model.tenants[&*status.tenant_id];
        prop_assert_eq!((status.health, status.config_version), (tenant.health, tenant.version));
        prop_assert_eq!(status.suspended.as_deref(), tenant.suspended);
        prop_assert_eq!(status.last_valid_at.is_some(), tenant.ever_valid);
        if let Some(failures) = tenant.failures {
            prop_assert_eq!(status.consecutive_failures, failures, "{}", status.tenant_id);
        }
        // A reason exactly where something is wrong.
        let unsound = tenant.health == Health::Disabled || tenant.health == Health::Unverified;
        prop_assert!(status.reason.is_some() || !unsound, "{:?}", status);
        prop_assert!(status.reason.is_none() || tenant.health != Health::Healthy, "{:?}", status);
        let url = |route: &Route| format!("https://{}{}", route.0, route.1.trim_end_matches('/'));
        prop_assert_eq!(&status.urls, &tenant.routes.iter().map(url).collect::<Vec<_>>());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn whatever_is_done_the_registry_is_as_the_model_says(
        validator in prop::bool::weighted(0.8),
        auto in prop::bool::weighted(0.8),
        steps in prop::collection::vec(step(), STEPS),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new(validator, auto);
            for step in &steps {
                run.step(step).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

/// The model is right where the contract is plainest; else the property would compare two mistakes.
#[test]
fn the_model_never_serves_what_was_never_valid() {
    let mut run = Run::new(true, true);
    let spec = Spec { routes: vec![ROUTES[0]], lazy: false };
    for finding in [Finding::Transient, Finding::Permanent] {
        assert_eq!(run.register("a", &spec, Register::default(), finding, true), None);
        for next in [Finding::Permanent, Finding::Transient, Finding::Panics, Finding::Transient] {
            run.model.verdict("a", next);
            assert!(run.model.answer(Some("a"), "").is_err());
        }
        run.model.verdict("a", Finding::Valid);
        assert!(run.model.answer(Some("a"), "").is_ok());
        run.model.tenants.clear();
    }
}
