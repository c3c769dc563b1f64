//! What all lists have in common: envelope, limit, cursors, order, and whose items they show.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::table::{List, Names, Operation, Start, operation, operations};
use super::world::{Subject, Who, World, on_both_stores};
use crate::support::{Answer, Client};

fn lists() -> impl Iterator<Item = (&'static Operation, &'static List)> {
    operations().filter_map(|row| row.list.as_ref().map(|list| (row, list)))
}

/// Every way of asking for a list: without a filter, and with each.
fn filters(list: &List, subject: &Subject) -> Vec<String> {
    [""].iter().chain(list.filters).map(|filter| subject.fill(filter)).collect()
}

fn url(row: &Operation, parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    format!("{}?{}", row.path, parts.join("&"))
}

fn texts(answer: &Answer, pointer: &str) -> Vec<String> {
    let text = |item: &Value| {
        let found = item.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {item}"));
        found.as_str().map_or_else(|| found.to_string(), str::to_owned)
    };
    answer.body["items"].as_array().unwrap_or_else(|| panic!("no items: {}", answer.text)).iter().map(text).collect()
}

async fn get(world: &World, client: &Client, url: &str) -> Answer {
    let answer = world.send(client, &reqwest::Method::GET, url, None).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.text);
    let members: BTreeSet<&str> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["items", "next_cursor"]), "{url}: the envelope");
    answer
}

/// All items by their keys, in pages of this size; `between` happens after each page.
async fn read_all(
    world: &World,
    client: &Client,
    row: &Operation,
    filter: &str,
    limit: usize,
    between: impl AsyncFn(),
) -> Vec<Answer> {
    let mut pages: Vec<Answer> = Vec::new();
    let limited = format!("limit={limit}");
    loop {
        let cursor = match pages.last().map(|page| page.body["next_cursor"].clone()) {
            None => String::new(),
            Some(Value::String(cursor)) => format!("cursor={cursor}"),
            Some(end) => {
                assert!(end.is_null(), "{end}");
                return pages;
            }
        };
        let page = get(world, client, &url(row, &[filter, &limited, &cursor])).await;
        let items = page.body["items"].as_array().unwrap().len();
        assert!(items <= limit, "{}: {items} items of {limit}", row.id);
        assert!(page.body["next_cursor"].is_null() || items == limit, "{}: a short page in the middle", row.id);
        pages.push(page);
        between().await;
    }
}

async fn keys_of(world: &World, client: &Client, row: &Operation, list: &List, filter: &str) -> Vec<String> {
    let pages = read_all(world, client, row, filter, 200, async || ()).await;
    pages.iter().flat_map(|page| texts(page, list.key)).collect()
}

/// Adds an item to the list, for the same tenant where it is one's.
async fn add(world: &World, list: &List, home: &Subject) -> Answer {
    let adds = operation(list.adds);
    let fresh = world.again(home, adds.has).await;
    let answer = world.call(&world.service.admin, adds, &fresh).await;
    assert_eq!(answer.status, adds.success, "{}: {}", adds.id, answer.text);
    answer
}

/// A tenant with several items, and another with one.
async fn furnish(world: &World, row: &Operation, list: &List) -> (Subject, Subject) {
    let foreign = world.subject_with(Start::Active, row.has).await;
    let home = world.subject_with(Start::Active, row.has).await;
    for _ in 0..4 {
        add(world, list, &home).await;
    }
    (home, foreign)
}

on_both_stores! {
    async fn a_list_takes_a_limit_and_nothing_that_is_none(world: World) {
        for (row, list) in lists() {
            let (home, _) = furnish(&world, row, list).await;
            let admin = &world.service.admin;
            for filter in filters(list, &home) {
                for limit in [1, 2, 200] {
                    let answer = get(&world, admin, &url(row, &[&filter, &format!("limit={limit}")])).await;
                    assert!(answer.body["items"].as_array().unwrap().len() <= limit, "{}: {}", row.id, answer.text);
                }
            }
            for wrong in ["0", "201", "-1", "1.5", "x", "", "+5", "%205", "1e2", "99999999999999999999"] {
                let target = url(row, &[&format!("limit={wrong}")]);
                let answer = world.send(admin, &reqwest::Method::GET, &target, None).await;
                assert_eq!(answer.status, 422, "{target}: {}", answer.text);
                let answer = answer.problem(422, "validation_failed");
                assert_eq!(answer.body["errors"][0]["field"], "limit", "{target}: {}", answer.text);
            }
        }
        world.report("a_list_takes_a_limit", lists().count());
    }

    async fn pages_neither_repeat_nor_skip_while_items_are_added(world: World) {
        for (row, list) in lists() {
            let (home, _) = furnish(&world, row, list).await;
            let admin = &world.service.admin;
            for filter in filters(list, &home) {
                let before = keys_of(&world, admin, row, list, &filter).await;
                let limit = if before.len() > 40 { 20 } else { 2 };
                let pages = read_all(&world, admin, row, &filter, limit, async || {
                    add(&world, list, &home).await;
                }).await;
                let seen: Vec<String> = pages.iter().flat_map(|page| texts(page, list.key)).collect();
                assert_eq!(seen, before, "{} {filter}", row.id);
                let distinct: BTreeSet<&String> = seen.iter().collect();
                assert_eq!(distinct.len(), seen.len(), "{} {filter}", row.id);
            }
        }
        world.report("pages_neither_repeat_nor_skip", lists().count());
    }

    async fn the_newest_comes_first(world: World) {
        for (row, list) in lists() {
            let (home, _) = furnish(&world, row, list).await;
            let before = keys_of(&world, &world.service.admin, row, list, "").await;
            let mut made = Vec::new();
            for _ in 0..3 {
                // Ids of one millisecond are in no order.
                world.service.clock.advance(Duration::from_millis(5));
                let answer = add(&world, list, &home).await;
                let whole = answer.body.pointer("/api_key").unwrap_or(&answer.body);
                made.insert(0, whole.pointer(list.key).unwrap().as_str().unwrap().to_owned());
            }
            let mut now = keys_of(&world, &world.service.admin, row, list, "").await;
            // Other things are made on the way, and have their events.
            now.retain(|key| made.contains(key) || before.contains(key));
            made.extend(before);
            assert_eq!(now, made, "{}", row.id);
        }
        world.report("the_newest_comes_first", lists().count());
    }

    async fn a_cursor_opens_its_own_list_alone(world: World) {
        let mut good = Vec::new();
        for (row, list) in lists() {
            let (home, _) = furnish(&world, row, list).await;
            for filter in filters(list, &home) {
                let answer = get(&world, &world.service.admin, &url(row, &[&filter, "limit=1"])).await;
                if let Some(cursor) = answer.body["next_cursor"].as_str() {
                    good.push((row, filter, cursor.to_owned(), home.clone()));
                }
            }
            assert!(good.iter().any(|(found, ..)| found.id == row.id), "{}: no second page", row.id);
        }
        for (row, filter, cursor, home) in &good {
            let admin = &world.service.admin;
            let with = |filter: &str, cursor: &str| url(row, &[filter, "limit=1", &format!("cursor={cursor}")]);
            let refused = async |client: &Client, target: &str| {
                let answer = world.send(client, &reqwest::Method::GET, target, None).await;
                assert_eq!(answer.status, 400, "{target}: {}", answer.text);
                answer.problem(400, "invalid_cursor");
            };
            get(&world, admin, &with(filter, cursor)).await;
            // The size of a page is no filter.
            get(&world, admin, &url(row, &[filter, "limit=7", &format!("cursor={cursor}")])).await;
            for (other, other_filter, ..) in &good {
                if other.id != row.id {
                    refused(admin, &url(other, &[other_filter, &format!("cursor={cursor}")])).await;
                }
            }
            for other in filters(row.list.as_ref().unwrap(), home).iter().filter(|other| *other != filter) {
                refused(admin, &with(other, cursor)).await;
            }
            let own = row.names != Names::InFilter || filter.is_empty() || filter.contains("tenant_id");
            if Who::TenantAdmin.may_call(row) && own {
                // Who reaches less has another list.
                refused(&world.client(Who::TenantAdmin, &home.slug), &with(filter, cursor)).await;
            }
        }
        let mut done = BTreeSet::new();
        for (row, filter, cursor, _) in good.iter().filter(|(row, ..)| done.insert(row.id)) {
            let mut forged: Vec<String> = ["", "x", "!!!", "%20", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"].map(str::to_owned).to_vec();
            forged.extend([format!("{cursor}A"), format!("{cursor}="), cursor[1..].to_owned(), cursor[..cursor.len() - 1].to_owned()]);
            for at in 0..cursor.len() {
                let other = if cursor.as_bytes()[at] == b'A' { 'B' } else { 'A' };
                forged.push(format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]));
            }
            for cursor in forged {
                let target = url(row, &[filter, &format!("cursor={cursor}")]);
                let answer = world.send(&world.service.admin, &reqwest::Method::GET, &target, None).await;
                assert_eq!(answer.status, 400, "{target}: {}", answer.text);
                answer.problem(400, "invalid_cursor");
            }
        }
        world.report("a_cursor_opens_its_own_list_alone", lists().count());
    }

    async fn a_tenants_caller_sees_its_own_and_who_reaches_all_sees_all(world: World) {
        for (row, list) in lists().filter(|(_, list)| !list.owner.is_empty()) {
            let (home, foreign) = furnish(&world, row, list).await;
            let owners = async |client: &Client, filter: &str| -> BTreeSet<String> {
                let pages = read_all(&world, client, row, filter, 200, async || ()).await;
                pages.iter().flat_map(|page| {
                    let items = page.body["items"].as_array().unwrap();
                    items.iter().map(|item| item.pointer(list.owner).and_then(Value::as_str).unwrap_or("nobody").to_owned())
                }).collect()
            };
            for who in Who::TENANTS_OWN.into_iter().filter(|who| who.may_call(row)) {
                let client = world.caller(who, &home).await.client;
                let own = BTreeSet::from([home.id.clone()]);
                assert_eq!(owners(&client, "").await, own, "{} as {who:?}", row.id);
                if row.names == Names::InFilter {
                    let filter = format!("tenant_id={}", home.id);
                    assert_eq!(owners(&client, &filter).await, own, "{} as {who:?}", row.id);
                    let (all, named) = (keys_of(&world, &client, row, list, "").await, keys_of(&world, &client, row, list, &filter).await);
                    assert_eq!(all, named, "{} as {who:?}", row.id);
                }
            }
            for who in Who::REACHING_ALL.into_iter().filter(|who| who.may_call(row)) {
                let client = world.caller(who, &home).await.client;
                let found = owners(&client, "").await;
                assert!(found.contains(&home.id) && found.contains(&foreign.id), "{} as {who:?}", row.id);
                if row.names == Names::InFilter {
                    let found = owners(&client, &format!("tenant_id={}", foreign.id)).await;
                    assert_eq!(found, BTreeSet::from([foreign.id.clone()]), "{} as {who:?}", row.id);
                }
            }
        }
        world.report("a_tenants_caller_sees_its_own", lists().count());
    }
}
