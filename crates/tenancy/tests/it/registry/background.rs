//! The background recheck, in tokio's paused time: when it comes, how it slows down, and what it leaves alone.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tenancy::{Health, Refusal, Register, TenantStatus, Verdict};
use tokio::time::Instant;

use super::{Answer, Judge, Registry, Works, enter, judged, marked, permanent, registered, transient, valid};

const URL: &str = "https://acme.example.com";
const MINUTE: Duration = Duration::from_secs(60);

/// A registry whose clock goes with tokio's.
fn every_minute(judge: &Arc<Judge>) -> Registry {
    let began = Instant::now();
    judged(judge).recheck_every(MINUTE).clock(move || SystemTime::UNIX_EPOCH + began.elapsed()).build()
}

/// How long until the judge is asked the next time.
async fn until_next(judge: &Judge) -> Duration {
    let began = Instant::now();
    let calls = judge.calls();
    let mut asked = judge.asked.subscribe();
    assert!(
        tokio::time::timeout(MINUTE * 20, asked.wait_for(|asked| asked.len() > calls)).await.is_ok(),
        "never asked"
    );
    began.elapsed()
}

#[track_caller]
fn is_about(delay: Duration, minutes: u32) {
    let (least, most) = (MINUTE.mul_f64(0.9) * minutes, MINUTE.mul_f64(1.1) * minutes);
    // Timers round up to the next millisecond.
    assert!(delay >= least && delay <= most + Duration::from_millis(2), "{delay:?} is not about {minutes} minutes");
}

#[tokio::test(start_paused = true)]
async fn there_is_none_by_default_and_none_with_zero() {
    let judge = Judge::new();
    let off = judged(&judge).build();
    let zero = judged(&judge).recheck_every(Duration::ZERO).build();
    for registry in [&off, &zero] {
        assert_eq!(enter(registry, "acme", URL).await.next_check_at, None);
    }
    tokio::time::sleep(MINUTE * 600).await;
    assert_eq!(judge.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_validated_again_and_again_give_or_take_a_tenth() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    let mut delays = Vec::new();
    for _ in 0..50 {
        delays.push(until_next(&judge).await);
        is_about(delays[delays.len() - 1], 1);
    }
    delays.sort();
    // Spread, and to both sides.
    assert!(delays[0] < MINUTE.mul_f64(0.97) && delays[49] > MINUTE.mul_f64(1.03), "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn tenants_that_came_together_do_not_stay_together() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    for n in 0..100 {
        let config = tenancy::TenantConfig::new(format!("https://{n}.example.com"), "p");
        registered(registry.register(n.to_string(), config, Register::default()).await);
    }
    let due = |status: TenantStatus| status.next_check_at.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut due: Vec<Duration> = registry.list().into_iter().map(due).collect();
    due.sort();
    due.dedup();
    assert!(due.len() > 90, "only {} different times", due.len());
    is_about(due[0], 1);
    is_about(due[due.len() - 1], 1);
}

#[tokio::test(start_paused = true)]
async fn the_status_says_when_the_next_one_comes() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    let mut next = enter(&registry, "acme", URL).await.next_check_at.unwrap();
    for _ in 0..5 {
        until_next(&judge).await;
        tokio::task::yield_now().await;
        let status = registry.status("acme").unwrap();
        let late = status.last_checked_at.unwrap().duration_since(next).unwrap();
        assert!(late < Duration::from_millis(5), "{late:?} late");
        next = status.next_check_at.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_double_the_delay_up_to_eight_times_and_a_success_ends_that() {
    let judge = Judge::of("acme", transient("t"));
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    for minutes in [1, 2, 4, 8, 8, 8] {
        is_about(until_next(&judge).await, minutes);
    }
    judge.tell("acme", valid());
    is_about(until_next(&judge).await, 8);
    is_about(until_next(&judge).await, 1);
    judge.tell("acme", permanent("p"));
    for minutes in [1, 1, 2, 4] {
        is_about(until_next(&judge).await, minutes);
    }
}

#[tokio::test(start_paused = true)]
async fn it_finds_out_by_itself_that_a_tenant_is_well_again_or_is_not_any_more() {
    let judge = Judge::of("acme", permanent("p"));
    let registry = every_minute(&judge);
    assert_eq!(enter(&registry, "acme", URL).await.health, Health::Disabled);
    for (answer, health) in
        [(valid(), Health::Healthy), (transient("t"), Health::Unverified), (permanent("p"), Health::Disabled)]
    {
        judge.tell("acme", answer);
        until_next(&judge).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(registry.health("acme"), Some(health));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_until_a_recheck_is_told_when_it_comes() {
    let judge = Judge::of("acme", transient("t"));
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    let Err(Refusal::Pending { retry_after }) = registry.resolve_by_host("acme.example.com") else {
        unreachable!("never validated")
    };
    assert!(retry_after >= MINUTE.mul_f64(0.9) && retry_after <= MINUTE, "{retry_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recheck_by_hand_puts_the_next_one_off() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    tokio::time::sleep(MINUTE / 2).await;
    registered(registry.recheck("acme").await);
    is_about(until_next(&judge).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_replaced_is_rechecked_as_what_it_is_now() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    tokio::time::sleep(MINUTE / 2).await;
    let status = registered(registry.replace("acme", marked("https://new.example.com", "new")).await);
    assert!(status.next_check_at.is_some());
    is_about(until_next(&judge).await, 1);
    assert_eq!(judge.last_target().unwrap().metadata["mark"], "new");
}

/// Also where it is the replacement that was the first to be validated.
#[tokio::test(start_paused = true)]
async fn a_replacement_that_was_refused_changes_no_schedule() {
    let judge = Judge::of("new", permanent("p"));
    let registry = every_minute(&judge);
    let before = enter(&registry, "acme", URL).await;
    assert!(registry.replace("acme", marked(URL, "new")).await.is_err());
    assert_eq!(registry.status("acme"), Some(before));
    is_about(until_next(&judge).await, 1);
    assert_eq!(judge.last_target().unwrap().metadata["mark"], "acme");
}

#[tokio::test(start_paused = true)]
async fn it_validates_lazy_tenants_and_builds_none() {
    let (judge, works) = (Judge::new(), Works::default());
    let registry = every_minute(&judge);
    registered(registry.register("acme", works.config(URL, "built"), Register::InBackground).await);
    for _ in 0..3 {
        until_next(&judge).await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((works.runs(), registry.health("acme")), (0, Some(Health::Pending)));
    assert!(registry.resolve_lazy("acme.example.com").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_recheck_by_hand_that_joins_one_builds() {
    let (judge, works) = (Judge::new(), Works::default());
    let registry = every_minute(&judge);
    registered(registry.register("acme", works.config(URL, "built"), Register::InBackground).await);
    judge.was_asked(1).await;
    judge.tell("acme", Answer::Takes(Duration::from_secs(5), Verdict::Valid));
    judge.was_asked(1).await;
    until_next(&judge).await;
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Healthy);
    assert_eq!((works.runs(), judge.calls()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn tenants_that_hang_delay_no_other() {
    let judge = Judge::new();
    let registry = judged(&judge).recheck_every(MINUTE).validation_timeout(MINUTE * 600).build();
    for id in ["one", "two", "three"] {
        enter(&registry, id, &format!("https://{id}.example.com")).await;
        judge.tell(id, Answer::Hangs);
    }
    enter(&registry, "acme", URL).await;
    let began = Instant::now();
    let of_acme =
        |asked: &Vec<tenancy::ValidationTarget>| asked.iter().filter(|target| target.tenant_id == "acme").count();
    for times in 2..12 {
        let mut asked = judge.asked.subscribe();
        let again = asked.wait_for(|asked| of_acme(asked) >= times);
        assert!(tokio::time::timeout(MINUTE * 2, again).await.is_ok(), "acme waits for the others");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(registry.health("acme"), Some(Health::Healthy));
    }
    assert!(began.elapsed() <= MINUTE * 11 + Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_auto_validation_it_waits_for_the_first_recheck() {
    let judge = Judge::new();
    let began = Instant::now();
    let clock = move || SystemTime::UNIX_EPOCH + began.elapsed();
    let registry = judged(&judge).auto_validate(false).recheck_every(MINUTE).clock(clock).build();
    enter(&registry, "acme", URL).await;
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!((judge.calls(), registry.health("acme")), (0, Some(Health::Pending)));
    registered(registry.recheck("acme").await);
    is_about(until_next(&judge).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_left_is_not_asked_about_again() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    assert!(registry.unregister("acme"));
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(judge.calls(), 1);
    enter(&registry, "acme", URL).await;
    is_about(until_next(&judge).await, 1);
    tokio::time::sleep(MINUTE.mul_f64(0.8)).await;
    assert_eq!(judge.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_tenant_is_rechecked_and_stays_suspended() {
    let judge = Judge::new();
    let registry = every_minute(&judge);
    enter(&registry, "acme", URL).await;
    assert!(registry.suspend("acme", "not paid"));
    until_next(&judge).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(registry.get("acme").unwrap_err(), Refusal::Suspended { reason: "not paid".into() });
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_stands_for_never_is_one() {
    for interval in [Duration::MAX, Duration::from_secs(u64::MAX / 9)] {
        let judge = Judge::of("acme", transient("t"));
        let registry = judged(&judge).recheck_every(interval).build();
        let status = super::within("a registration", enter(&registry, "acme", URL)).await;
        assert_eq!((status.health, status.consecutive_failures), (Health::Pending, 1));
        super::within("a recheck", registry.recheck("acme")).await.unwrap();
    }
}
