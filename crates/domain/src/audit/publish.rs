//! Events that others publish, and the rules of each field (the shape is Retraced's, the limits are ours).
//!
//! `app` checks what `api` has read, before anything is looked up. Invariant: [`NewEvent::check`] knows every rule, so that
//! an event that passes can be stored whichever way it was read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{AuditEvent, Crud, Party};
use crate::error::{FieldCode, Violation};
use crate::ids::{EventId, TenantId};
use crate::text;
use crate::time::{RFC_3339, Timestamp, parse_rfc3339};

/// The most characters of an action.
pub const ACTION_MAX: usize = 255;
/// The most characters of an id of a party, and of an `external_id`.
pub const ID_MAX: usize = 255;
/// The most characters of a name, a type, a component, a version.
pub const NAME_MAX: usize = 255;
/// The most characters of an `href`.
pub const HREF_MAX: usize = 2_048;
/// The most characters of a description.
pub const DESCRIPTION_MAX: usize = 5_000;
/// The most members of a map of texts.
pub const MAP_MAX: usize = 50;
/// The most characters of a key of such a map (as Stripe and WorkOS have it).
pub const MAP_KEY_MAX: usize = 40;
/// The most characters of a value of such a map (as Stripe and WorkOS have it).
pub const MAP_VALUE_MAX: usize = 500;
/// The most events of one request.
pub const EVENTS_MAX: usize = 1_000;

/// The tenant that an event is said to belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// Its id as it was sent: a text that is none names a tenant that is not there.
    pub id: String,
    /// Its name, where the sender has one.
    pub name: Option<String>,
}

/// An event as somebody sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What was done.
    pub action: String,
    /// What kind of thing that is.
    pub crud: Crud,
    /// Whose it is.
    pub group: Option<NewGroup>,
    /// When it happened (RFC 3339); when it was received, where nobody says.
    pub created: Option<String>,
    /// Who did it.
    pub actor: Option<Party>,
    /// To what it was done.
    pub target: Option<Party>,
    /// From where.
    pub source_ip: Option<String>,
    /// In words.
    pub description: Option<String>,
    /// Whether nobody is named.
    pub is_anonymous: bool,
    /// Whether it failed.
    pub is_failure: bool,
    /// Details.
    pub fields: BTreeMap<String, String>,
    /// The sender's component.
    pub component: Option<String>,
    /// The sender's version.
    pub version: Option<String>,
    /// The sender's own id of the event, by which it is told from others of its tenant.
    pub external_id: Option<String>,
    /// Carried along.
    pub metadata: BTreeMap<String, String>,
}

/// What the registry adds to an event.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Its id.
    pub id: EventId,
    /// The tenant it belongs to, and that tenant's name.
    pub group: Option<(TenantId, String)>,
    /// When it was received.
    pub received: Timestamp,
}

impl NewEvent {
    /// Adds every broken rule to `violations`; `at` goes before each field's name: empty, or `3.` in an array.
    pub fn check(&self, at: &str, violations: &mut Vec<Violation>) {
        let mut rules = Rules { at, violations };
        rules.length("action", &self.action, 1, ACTION_MAX);
        if text::has_control(&self.action) {
            rules.add("action", FieldCode::InvalidFormat, "must not contain control characters".to_owned());
        }
        if let Some(group) = &self.group {
            rules.length("group.id", &group.id, 1, ID_MAX);
            rules.optional("group.name", group.name.as_deref(), 0, NAME_MAX);
        }
        if let Some(created) = &self.created
            && parse_rfc3339(created).is_none()
        {
            rules.add("created", FieldCode::InvalidFormat, RFC_3339.to_owned());
        }
        match &self.actor {
            Some(actor) => rules.party("actor", actor),
            None if self.is_anonymous => {}
            None => rules.add("actor", FieldCode::Required, "is required unless is_anonymous is true".to_owned()),
        }
        if let Some(target) = &self.target {
            rules.party("target", target);
        }
        if let Some(address) = &self.source_ip
            && address.parse::<IpAddr>().is_err()
        {
            rules.add("source_ip", FieldCode::InvalidFormat, "must be an IPv4 or IPv6 address".to_owned());
        }
        rules.optional("description", self.description.as_deref(), 0, DESCRIPTION_MAX);
        rules.map("fields", &self.fields);
        rules.optional("component", self.component.as_deref(), 0, NAME_MAX);
        rules.optional("version", self.version.as_deref(), 0, NAME_MAX);
        rules.optional("external_id", self.external_id.as_deref(), 1, ID_MAX);
        rules.map("metadata", &self.metadata);
    }

    /// The event as it is stored. What [`NewEvent::check`] would refuse is left out.
    #[must_use]
    pub fn receive(self, receipt: Receipt) -> AuditEvent {
        let (group, tenant_name) = receipt.group.unzip();
        AuditEvent {
            id: receipt.id,
            group_name: group.and(self.group.and_then(|group| group.name).or(tenant_name)),
            group,
            action: self.action,
            crud: self.crud,
            actor: self.actor,
            target: self.target,
            created: self.created.and_then(|text| parse_rfc3339(&text)).unwrap_or(receipt.received),
            received: receipt.received,
            source_ip: self.source_ip.and_then(|text| text.parse().ok()),
            description: self.description,
            is_anonymous: self.is_anonymous,
            is_failure: self.is_failure,
            fields: self.fields,
            component: self.component,
            version: self.version,
            external_id: self.external_id,
            metadata: self.metadata,
        }
    }
}

/// Collects violations under one prefix.
struct Rules<'a> {
    at: &'a str,
    violations: &'a mut Vec<Violation>,
}

impl Rules<'_> {
    fn add(&mut self, field: &str, code: FieldCode, message: String) {
        self.violations.push(Violation::new(format!("{}{field}", self.at), code, message));
    }

    fn length(&mut self, field: &str, text: &str, min: usize, max: usize) {
        // No text has more characters than bytes, so most are not counted.
        if text.len() < min {
            self.add(field, FieldCode::TooShort, format!("must have at least {min} characters"));
        } else if text.len() > max && text.chars().count() > max {
            self.add(field, FieldCode::TooLong, format!("may have at most {max} characters"));
        }
        if text.contains('\0') {
            self.add(field, FieldCode::NotAllowed, "must not contain NUL".to_owned());
        }
    }

    fn optional(&mut self, field: &str, text: Option<&str>, min: usize, max: usize) {
        if let Some(text) = text {
            self.length(field, text, min, max);
        }
    }

    fn party(&mut self, field: &str, party: &Party) {
        self.length(&format!("{field}.id"), &party.id, 1, ID_MAX);
        self.optional(&format!("{field}.name"), party.name.as_deref(), 0, NAME_MAX);
        self.optional(&format!("{field}.type"), party.kind.as_deref(), 0, NAME_MAX);
        self.optional(&format!("{field}.href"), party.href.as_deref(), 0, HREF_MAX);
        self.map(&format!("{field}.fields"), &party.fields);
    }

    /// Of a map with too many members nothing else is said: there may be as many as fit into a body.
    fn map(&mut self, field: &str, map: &BTreeMap<String, String>) {
        if map.len() > MAP_MAX {
            self.add(field, FieldCode::TooLong, format!("may have at most {MAP_MAX} members"));
            return;
        }
        for (key, value) in map {
            let fits = |text: &str, min, max| {
                text.len() >= min && (text.len() <= max || text.chars().count() <= max) && !text.contains('\0')
            };
            // The member's name is made only where there is something to say of it.
            if !fits(key, 1, MAP_KEY_MAX) || !fits(value, 0, MAP_VALUE_MAX) {
                let name = format!("{field}.{}", text::told_name(key));
                let before = self.violations.len();
                self.length(&name, key, 1, MAP_KEY_MAX);
                if self.violations.len() == before {
                    self.length(&name, value, 0, MAP_VALUE_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            action: "user.login".to_owned(),
            crud: Crud::R,
            group: None,
            created: None,
            actor: Some(Party::actor("ada")),
            target: None,
            source_ip: None,
            description: None,
            is_anonymous: false,
            is_failure: false,
            fields: BTreeMap::new(),
            component: None,
            version: None,
            external_id: None,
            metadata: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(event: &NewEvent, expected: &[(&str, FieldCode)]) {
        let mut violations = Vec::new();
        event.check("", &mut violations);
        let found: Vec<_> = violations.iter().map(|one| (one.field.as_str(), one.code)).collect();
        assert_eq!(found, expected, "{event:?}");
    }

    fn text(length: usize) -> String {
        // Two bytes each: characters are what counts.
        "ä".repeat(length)
    }

    fn map(members: usize, key: usize, value: usize) -> BTreeMap<String, String> {
        (0..members).map(|n| (format!("{n:02}{}", text(key.saturating_sub(2))), text(value))).collect()
    }

    #[test]
    fn every_field_has_its_limit() {
        let whole = |extra: usize| NewEvent {
            action: text(ACTION_MAX + extra),
            group: Some(NewGroup { id: text(ID_MAX + extra), name: Some(text(NAME_MAX + extra)) }),
            actor: Some(Party {
                name: Some(text(NAME_MAX + extra)),
                href: Some(text(HREF_MAX + extra)),
                fields: map(MAP_MAX + extra, MAP_KEY_MAX, MAP_VALUE_MAX),
                ..Party::actor(text(ID_MAX + extra))
            }),
            target: Some(Party { kind: Some(text(NAME_MAX + extra)), ..Party::actor(text(ID_MAX + extra)) }),
            description: Some(text(DESCRIPTION_MAX + extra)),
            fields: map(1, MAP_KEY_MAX + extra, 0),
            component: Some(text(NAME_MAX + extra)),
            version: Some(text(NAME_MAX + extra)),
            external_id: Some(text(ID_MAX + extra)),
            metadata: map(1, 2, MAP_VALUE_MAX + extra),
            ..event()
        };
        check(&whole(0), &[]);
        let fields = format!("fields.00{}", text(MAP_KEY_MAX - 1));
        check(
            &whole(1),
            &[
                "action",
                "group.id",
                "group.name",
                "actor.id",
                "actor.name",
                "actor.href",
                "actor.fields",
                "target.id",
                "target.type",
                "description",
                &fields,
                "component",
                "version",
                "external_id",
                "metadata.00",
            ]
            .map(|field| (field, FieldCode::TooLong)),
        );
    }

    #[test]
    fn of_a_crowded_map_only_that_is_said() {
        let crowded = map(MAP_MAX + 1, MAP_KEY_MAX + 1, MAP_VALUE_MAX + 1);
        check(&NewEvent { fields: crowded, ..event() }, &[("fields", FieldCode::TooLong)]);
    }

    #[test]
    fn a_long_key_is_named_by_its_beginning() {
        let fields = BTreeMap::from([(text(10_000), String::new())]);
        let named = format!("fields.{}", text(text::TOLD_NAME_MAX));
        check(&NewEvent { fields, ..event() }, &[(&named, FieldCode::TooLong)]);
    }

    #[test]
    fn what_must_say_something_is_not_empty() {
        let empty = NewEvent {
            action: String::new(),
            group: Some(NewGroup { id: String::new(), name: Some(String::new()) }),
            actor: Some(Party::actor("")),
            target: Some(Party::actor("")),
            external_id: Some(String::new()),
            fields: BTreeMap::from([(String::new(), String::new())]),
            description: Some(String::new()),
            ..event()
        };
        let expected = ["action", "group.id", "actor.id", "target.id", "fields.", "external_id"];
        check(&empty, &expected.map(|field| (field, FieldCode::TooShort)));
    }

    #[test]
    fn nobody_did_it_only_anonymously() {
        check(&NewEvent { actor: None, ..event() }, &[("actor", FieldCode::Required)]);
        check(&NewEvent { actor: None, is_anonymous: true, ..event() }, &[]);
        check(&NewEvent { is_anonymous: true, ..event() }, &[]);
    }

    #[test]
    fn an_action_has_no_control_characters() {
        for action in ["a\nb", "a\u{7f}", "\u{85}", "\t"] {
            check(&NewEvent { action: action.to_owned(), ..event() }, &[("action", FieldCode::InvalidFormat)]);
        }
        check(&NewEvent { action: "käse geschnitten 🧀".to_owned(), ..event() }, &[]);
    }

    #[test]
    fn addresses_are_parsed_and_not_guessed() {
        let check_address = |address: &str, expected: &[(&str, FieldCode)]| {
            check(&NewEvent { source_ip: Some(address.to_owned()), ..event() }, expected);
        };
        // What Retraced's own pattern refuses, among them.
        for good in ["1.2.3.4", "0.0.0.0", "::1", "::", "2001:db8::", "2001:db8::1", "::ffff:1.2.3.4", "FE80::1"] {
            check_address(good, &[]);
        }
        // And what it takes, among these.
        for bad in [
            "",
            "2001:db8::1garbage",
            "fe80::1%eth0",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.4:80",
            "[::1]",
            " 1.2.3.4",
            "1.2.3.4\n",
            "1.2.3.4/32",
            "0x7f.0.0.1",
            "2130706433",
            "localhost",
            "1::2::3",
            ":::",
            "12345::",
        ] {
            check_address(bad, &[("source_ip", FieldCode::InvalidFormat)]);
        }
    }

    #[test]
    fn a_violation_is_named_with_its_place() {
        let mut violations = Vec::new();
        NewEvent { action: String::new(), ..event() }.check("3.", &mut violations);
        assert_eq!(violations[0].field, "3.action");
    }

    #[test]
    fn the_tenants_name_stands_in_where_the_sender_says_none() {
        let id = TenantId(uuid::Uuid::from_u128(7));
        let receipt = || Receipt {
            id: EventId(uuid::Uuid::from_u128(1)),
            group: Some((id, "Acme".to_owned())),
            received: crate::time::from_micros(5),
        };
        let named = |name: Option<&str>| {
            let group = NewGroup { id: id.to_string(), name: name.map(str::to_owned) };
            NewEvent { group: Some(group), ..event() }.receive(receipt()).group_name
        };
        assert_eq!(named(None).as_deref(), Some("Acme"));
        assert_eq!(named(Some("ACME Corp")).as_deref(), Some("ACME Corp"));
        let of_nobody = event().receive(Receipt { group: None, ..receipt() });
        assert_eq!((of_nobody.group, of_nobody.group_name), (None, None));
        assert_eq!((of_nobody.created, of_nobody.received), (crate::time::from_micros(5), crate::time::from_micros(5)));
    }
}
