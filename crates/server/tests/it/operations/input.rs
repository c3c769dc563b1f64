//! What every operation refuses of what it is sent.

use serde_json::{Value, json};

use super::table::{Operation, of_the_api};
use super::world::{World, on_both_stores};
use super::wrong::{JSON, Wrong};
use crate::support::client::{document, operation_of};

fn with_a_body() -> impl Iterator<Item = &'static Operation> {
    of_the_api().filter(|row| row.body.is_some())
}

/// The members of a body, and whether each must be there, as the document has them.
fn members(row: &Operation) -> Vec<(String, bool)> {
    let operation = operation_of(&row.method(), row.path).unwrap();
    let resolved = |schema: &Value| match schema["$ref"].as_str() {
        Some(name) => document().pointer(name.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    };
    let mut schema = resolved(&operation["requestBody"]["content"][JSON]["schema"]);
    if let Some(several) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let object = several.iter().map(resolved).find(|one| one["properties"].is_object());
        schema = object.unwrap_or_else(|| panic!("{}: no object", row.id));
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
    names.map(|name| (name.clone(), required.contains(&name.as_str()))).collect()
}

on_both_stores! {
    async fn what_must_be_there_is_missed_and_null_is_as_good_as_nothing(world: World) {
        let (mut required, mut optional) = (0, 0);
        // A null in a merge patch removes something.
        for row in with_a_body().filter(|row| row.verb != "PATCH") {
            let subject = world.subject_of(row).await;
            for (name, must) in members(row) {
                let mut body = subject.body(row);
                if must {
                    required += 1;
                    let mark = world.mark().await;
                    assert!(body.as_object_mut().unwrap().remove(&name).is_some(), "{}: {name}", row.id);
                    let wrong = Wrong::new(&world, row, world.service.admin.clone(), &subject).body(JSON, body.to_string());
                    wrong.answers(422, "validation_failed").await.invalid(&[(&name, "required")]);
                    world.nothing_since(&mark, row.id).await;
                } else {
                    optional += 1;
                    let subject = world.subject_of(row).await;
                    let mut body = subject.body(row);
                    body[&name] = json!(null);
                    // Who publishes without an actor says so.
                    if row.id == "publish_events" && name == "actor" {
                        body["is_anonymous"] = json!(true);
                    }
                    let body = Some((JSON, body.to_string().into_bytes()));
                    let answer = world.send(&world.service.admin, &row.method(), &subject.url(row), body).await;
                    assert_eq!(answer.status, row.success, "{} without {name}: {}", row.id, answer.text);
                }
            }
        }
        eprintln!("members: {required} that must be there, {optional} that need not");
        assert!(required > 10 && optional > 10);
        world.report("what_must_be_there_is_missed", with_a_body().count());
    }

    async fn an_unknown_query_parameter_is_named(world: World) {
        for row in of_the_api() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            let wrong = Wrong::new(&world, row, world.service.admin.clone(), &subject).unknown_parameter();
            wrong.answers(422, "validation_failed").await.invalid(&[("surprise", "unknown_field")]);
            world.nothing_since(&mark, row.id).await;
        }
        world.report("an_unknown_query_parameter_is_named", of_the_api().count());
    }

    async fn an_unknown_member_is_named(world: World) {
        for row in with_a_body() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            let mut body = subject.body(row);
            body["surprise"] = json!(1);
            let wrong = Wrong::new(&world, row, world.service.admin.clone(), &subject).body(JSON, body.to_string());
            wrong.answers(422, "validation_failed").await.invalid(&[("surprise", "unknown_field")]);
            world.nothing_since(&mark, row.id).await;
        }
        world.report("an_unknown_member_is_named", with_a_body().count());
    }

    async fn a_body_that_is_no_json_is_refused(world: World) {
        for row in with_a_body() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            let good = subject.body(row).to_string();
            let wrong = || Wrong::new(&world, row, world.service.admin.clone(), &subject);
            for media in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json", ""] {
                wrong().body(media, good.clone()).answers(415, "unsupported_media_type").await;
            }
            let twice = r#"{"a":1,"a":1}"#.to_owned();
            let deep = "[".repeat(200) + &"]".repeat(200);
            for text in ["{", "{\"", "nul", "{'a':1}", "{}{}", "\u{feff}{}", " ", &twice, &deep, &format!("{good},")] {
                wrong().body(JSON, text).answers(400, "malformed_json").await;
            }
            wrong().body(JSON, b"{\"a\":\"\xff\"}".to_vec()).answers(400, "malformed_json").await;
            for text in ["[]", "1", "\"text\"", "null", "true"] {
                wrong().body(JSON, text).answers(422, "validation_failed").await;
            }
            world.nothing_since(&mark, row.id).await;
        }
        world.report("a_body_that_is_no_json_is_refused", with_a_body().count());
    }

    async fn a_body_may_be_as_large_as_the_contract_says_and_no_byte_larger(world: World) {
        for row in with_a_body() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            let good = subject.body(row).to_string();
            let padded = |size: usize| format!("{good}{}", " ".repeat(size - good.len()));
            let call = |size| Wrong::new(&world, row, world.service.admin.clone(), &subject).body(JSON, padded(size));
            call(row.body_max + 1).answers(413, "body_too_large").await;
            world.nothing_since(&mark, row.id).await;
            let largest = Some((JSON, padded(row.body_max).into_bytes()));
            let answer = world.send(&world.service.admin, &row.method(), &subject.url(row), largest).await;
            assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
        }
        world.report("a_body_may_be_as_large", with_a_body().count());
    }

    async fn an_answer_comes_in_a_form_that_the_caller_takes(world: World) {
        for row in of_the_api() {
            let subject = world.subject_of(row).await;
            let other = if row.media == JSON { "text/csv" } else { JSON };
            for (accept, good) in [(row.media, true), ("*/*", true), (other, row.media == JSON)] {
                let subject = if row.writes() { world.subject_of(row).await } else { subject.clone() };
                let client = world.service.admin.with("accept", accept);
                let answer = world.call(&client, row, &subject).await;
                if good {
                    assert_eq!(answer.status, row.success, "{} {accept}: {}", row.id, answer.text);
                    let media = answer.header("content-type").split(';').next().unwrap_or_default();
                    assert_eq!(media, if row.success == 204 { "" } else { row.media }, "{} {accept}", row.id);
                } else {
                    assert_eq!(answer.status, 406, "{} {accept}: {}", row.id, answer.text);
                    answer.problem(406, "not_acceptable");
                }
            }
        }
        world.report("an_answer_comes_in_a_form", of_the_api().count());
    }
}
