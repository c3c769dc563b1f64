//! In which order everything is refused: each request here breaks a rule, and later ones too.
//!
//! 401 < 403 < 413/415/400 < 422 < 404 < 403 `tenant_frozen` < 412 < 409 (contract §2).

use std::collections::BTreeMap;

use super::subject::Has;
use super::table::{Clash, Effect, Operation, Start, of_the_api};
use super::world::{Subject, Who, World, on_both_stores};
use super::wrong::{JSON, Wrong, announce};
use crate::support::Client;

/// What one row is called on, made before anything is refused.
struct Scene {
    /// What a good call wants, and the same with nothing there.
    subject: Subject,
    absent: Subject,
    /// A frozen tenant that has the same.
    frozen: Subject,
    /// What the row does not take, and the same with a frozen tenant.
    refusals: Vec<(&'static Clash, Subject, Subject)>,
    conflicts: Vec<(&'static Clash, Subject, Subject)>,
}

async fn scene(world: &World, row: &'static Operation) -> Scene {
    let subject = world.subject_of(row).await;
    let clashes = async |clashes: &'static [Clash]| {
        let mut found = Vec::new();
        for clash in clashes {
            let frozen = world.subject_with(Start::Frozen, clash.has).await;
            found.push((clash, world.clashing(clash).await, frozen));
        }
        found
    };
    Scene {
        absent: if row.names_something() { subject.absent_for(row) } else { subject.clone() },
        subject,
        frozen: world.subject_with(Start::Frozen, row.has).await,
        refusals: clashes(row.refusals).await,
        conflicts: clashes(row.conflicts).await,
    }
}

/// How often each status was answered.
type Answers = BTreeMap<u16, usize>;

/// 401, and 403 by role, before everything about the request.
async fn callers(world: &World, row: &'static Operation, scene: &Scene, answers: &mut Answers) {
    let broken = b"{\xff".to_vec();
    let all_wrong =
        |client: Client| Wrong::new(world, row, client, &scene.absent).unknown_parameter().stale().overlong_key();
    let nobody = world.service.admin.anonymous();
    all_wrong(nobody).body("text/plain", broken.clone()).answers(401, "unauthenticated").await;
    let url = scene.absent.url(row);
    assert_eq!(announce(world, row, &url, None).await, 401, "{}", row.id);
    let roleless = world.client(Who::Roleless, &scene.subject.slug);
    all_wrong(roleless).body("text/plain", broken).answers(403, "forbidden").await;
    let token = world.issuer.token(world.issuer.claims("nora"));
    assert_eq!(announce(world, row, &url, Some(&token)).await, 403, "{}", row.id);
    for status in [401, 403] {
        *answers.entry(status).or_default() += 1;
    }
}

/// 413, 415, 400: the body before the query, the headers and the path. 422: of the body, the query, the headers.
async fn requests(world: &World, row: &'static Operation, scene: &Scene, answers: &mut Answers) {
    let mut count = |status: u16| *answers.entry(status).or_default() += 1;
    let admin = &world.service.admin;
    let wrong = || Wrong::new(world, row, admin.clone(), &scene.absent).stale();
    if row.body.is_some() {
        let all_wrong = || wrong().unknown_parameter().overlong_key();
        let huge = vec![b'{'; row.body_max + 1];
        all_wrong().body("text/plain", huge).answers(413, "body_too_large").await;
        all_wrong().body("text/plain", b"{\xff".to_vec()).answers(415, "unsupported_media_type").await;
        all_wrong().body(JSON, "{").answers(400, "malformed_json").await;
        wrong().body(JSON, r#"{"surprise":1}"#).answers(422, "validation_failed").await;
        for status in [413, 415, 400, 422] {
            count(status);
        }
    }
    wrong().unknown_parameter().answers(422, "validation_failed").await;
    count(422);
    if row.takes_a_key() {
        wrong().overlong_key().answers(422, "validation_failed").await.invalid(&[("Idempotency-Key", "too_long")]);
        count(422);
    }
    for (clash, subject, frozen) in &scene.refusals {
        // What the catalog does not have, whoever asks: before the tenant is looked for, and before its freeze.
        let refused =
            |client: Client, subject: &Subject| Wrong::new(world, row, client, subject).clashing(subject, clash);
        refused(admin.clone(), subject).answers(422, clash.code).await;
        refused(admin.clone(), &subject.absent_for(row)).answers(422, clash.code).await;
        refused(admin.clone(), subject).unknown_parameter().answers(422, "validation_failed").await;
        if Who::TenantAdmin.may_call(row) {
            refused(world.client(Who::TenantAdmin, &frozen.slug), frozen).answers(422, clash.code).await;
            refused(world.client(Who::TenantAdmin, &scene.subject.slug), frozen).answers(422, clash.code).await;
        }
        count(422);
    }
}

/// 404, 403 `tenant_frozen`, 412, 409.
async fn states(world: &World, row: &'static Operation, scene: &Scene, answers: &mut Answers) {
    let mut count = |status: u16| *answers.entry(status).or_default() += 1;
    let admin = &world.service.admin;
    if let Some(code) = row.absent_code() {
        Wrong::new(world, row, admin.clone(), &scene.absent).stale().answers(404, code).await;
        count(404);
    }
    let bound = Who::TenantAdmin.may_call(row) && matches!(row.effect, Effect::Changes | Effect::Publishes);
    if let Some(code) = row.absent_code().filter(|_| bound) {
        // A frozen tenant of somebody else is not there at all; the own one is frozen before it is anything else.
        let foreign = world.client(Who::TenantAdmin, &scene.subject.slug);
        Wrong::new(world, row, foreign.clone(), &scene.frozen).stale().answers(404, code).await;
        let own = world.client(Who::TenantAdmin, &scene.frozen.slug);
        let wrong = || Wrong::new(world, row, own.clone(), &scene.frozen).stale();
        wrong().unknown_parameter().answers(422, "validation_failed").await;
        wrong().answers(403, "tenant_frozen").await;
        for (clash, _, frozen) in &scene.conflicts {
            Wrong::new(world, row, foreign.clone(), frozen).clashing(frozen, clash).answers(404, code).await;
            let own = world.client(Who::TenantAdmin, &frozen.slug);
            Wrong::new(world, row, own, frozen).clashing(frozen, clash).stale().answers(403, "tenant_frozen").await;
        }
        count(403);
    }
    for (clash, subject, _) in &scene.conflicts {
        let wrong = || Wrong::new(world, row, admin.clone(), subject).clashing(subject, clash);
        wrong().unknown_parameter().answers(422, "validation_failed").await;
        if row.writes_to_tenant() {
            wrong().stale().answers(412, "version_mismatch").await;
        }
        wrong().answers(409, clash.code).await;
        count(409);
    }
    if row.writes_to_tenant() {
        let answer =
            Wrong::new(world, row, admin.clone(), &scene.subject).stale().answers(412, "version_mismatch").await;
        assert!(answer.body["current_version"].is_u64(), "{}: {}", row.id, answer.text);
        count(412);
    }
}

on_both_stores! {
    async fn the_first_broken_rule_is_the_one_that_is_answered(world: World) {
        let mut answers = Answers::new();
        for row in of_the_api() {
            let scene = scene(&world, row).await;
            let mark = world.mark().await;
            callers(&world, row, &scene, &mut answers).await;
            requests(&world, row, &scene, &mut answers).await;
            states(&world, row, &scene, &mut answers).await;
            world.nothing_since(&mark, row.id).await;
        }
        eprintln!("the first broken rule, answers by status: {answers:?}");
        world.report("the_first_broken_rule", of_the_api().count());
    }

    async fn what_cannot_be_done_can_be_asked_for_again(world: World) {
        // A refusal leaves nothing behind that would hold up the good call after it.
        for row in of_the_api().filter(|row| !row.refusals.is_empty()) {
            for clash in row.refusals {
                let subject = world.clashing(clash).await;
                let refused = world.call_into(&world.service.admin, row, &subject, clash).await;
                assert_eq!((refused.status, refused.body["code"].as_str()), (422, Some(clash.code)), "{}", refused.text);
                let errors = refused.body["errors"].as_array().map(Vec::len);
                assert_eq!((errors, &refused.body["errors"][0]["field"]), (Some(1), &"product".into()), "{}", refused.text);
                let good = world.again(&subject, Has::Product).await;
                let answer = world.call(&world.service.admin, row, &good).await;
                assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
            }
        }
    }
}
