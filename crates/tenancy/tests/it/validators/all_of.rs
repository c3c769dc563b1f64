//! `all_of`: whose verdict wins, whose reason is given, and what nobody can hide.

use std::future::{pending, ready};
use std::time::Duration;

use tenancy::{ValidationTarget, Validator, Verdict, all_of, validator_fn};

use super::{lasting, passing, target, verdict};

fn says(verdict: &Verdict) -> impl Validator + 'static {
    let verdict = verdict.clone();
    validator_fn(move |_| ready(verdict.clone()))
}

fn slowly(verdict: &Verdict, millis: u64) -> impl Validator + 'static {
    let verdict = verdict.clone();
    validator_fn(move |_| {
        let verdict = verdict.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            verdict
        }
    })
}

fn permanent(reason: &str) -> Verdict {
    Verdict::Permanent(reason.into())
}

fn transient(reason: &str) -> Verdict {
    Verdict::Transient(reason.into())
}

#[tokio::test(start_paused = true)]
async fn the_worst_verdict_wins_with_the_reason_of_the_first_in_the_list() {
    let cases: &[(&[Verdict], Verdict)] = &[
        (&[Verdict::Valid], Verdict::Valid),
        (&[Verdict::Valid, Verdict::Valid], Verdict::Valid),
        (&[Verdict::Valid, transient("a")], transient("a")),
        (&[transient("a"), transient("b")], transient("a")),
        (&[permanent("a"), permanent("b")], permanent("a")),
        (&[transient("a"), Verdict::Valid, permanent("b"), permanent("c")], permanent("b")),
        (&[permanent("a"), transient("b")], permanent("a")),
    ];
    for (verdicts, expected) in cases {
        assert_eq!(verdict(&all_of(verdicts.iter().map(says)), &target(&[])).await, *expected, "{verdicts:?}");
        let same_time = all_of(verdicts.iter().map(|verdict| slowly(verdict, 10)));
        assert_eq!(verdict(&same_time, &target(&[])).await, *expected, "at one time: {verdicts:?}");
    }
    // Of transient ones, also where the later one in the list is the earlier one in time.
    let turned = all_of([slowly(&transient("a"), 20)]).and(slowly(&transient("b"), 10));
    assert_eq!(verdict(&turned, &target(&[])).await, transient("a"));
}

#[tokio::test(start_paused = true)]
async fn a_lasting_failure_is_not_hidden_by_one_that_hangs_or_panics() {
    // The paused clock jumps to the end as soon as nothing else happens.
    let in_time = async |validator: &tenancy::AllOf| {
        let target = target(&[]);
        tokio::time::timeout(Duration::from_secs(3_600), verdict(validator, &target)).await.expect("a verdict in time")
    };
    let hangs = || validator_fn(|_| pending());
    assert_eq!(lasting(in_time(&all_of([hangs()]).and(says(&permanent("b")))).await), "b");
    assert_eq!(lasting(in_time(&all_of([says(&permanent("a"))]).and(hangs())).await), "a");

    let panics = |_: ValidationTarget| async { panic!("on purpose") };
    assert_eq!(lasting(in_time(&all_of([validator_fn(panics)]).and(says(&permanent("b")))).await), "b");
    let with_valid = all_of([says(&Verdict::Valid)]).and(validator_fn(panics));
    assert_eq!(passing(in_time(&with_valid).await), "a validator panicked");
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_at_once() {
    let started = tokio::time::Instant::now();
    let validator = all_of((0..300).map(|_| slowly(&Verdict::Valid, 1_000)));
    assert_eq!(verdict(&validator, &target(&[])).await, Verdict::Valid);
    assert!(started.elapsed() < Duration::from_millis(1_100), "{:?}", started.elapsed());
}

#[tokio::test]
async fn every_validator_sees_the_target() {
    let by_id = validator_fn(|target: ValidationTarget| ready(Verdict::Permanent(target.tenant_id.as_str().into())));
    assert_eq!(lasting(verdict(&all_of([by_id]), &target(&[])).await), "acme");
}

#[tokio::test]
async fn an_empty_list_validates_nobody() {
    let reason = lasting(verdict(&all_of(Vec::<tenancy::Noop>::new()), &target(&[])).await);
    assert!(reason.contains("nothing was checked"), "{reason}");
}

#[tokio::test]
async fn validators_of_several_types_go_together() {
    let boxed: Vec<Box<dyn Validator>> = vec![Box::new(says(&Verdict::Valid)), Box::new(says(&transient("b")))];
    assert_eq!(verdict(&all_of(boxed).and(all_of([says(&permanent("c"))])), &target(&[])).await, permanent("c"));
}
