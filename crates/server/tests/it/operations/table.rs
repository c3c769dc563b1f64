//! The operation table (house rule 11): every operation of the document, with what the derived tests must know of it.
//!
//! Add yours in the file of its resource: a row is all that a new operation needs for its 401, 403, 404, 405, 4xx-order,
//! audit, freeze, idempotency, list and If-Match tests. Texts are filled by [`Subject::fill`](super::subject::Subject::fill).
//! Invariant: table and document list the same operations, with the same words about who may call.

mod audit;
mod catalog;
mod keycloak;
mod keys;
mod tenants;

use domain::Crud;
use reqwest::Method;

use super::subject::Has;

/// In which state an operation wants the tenant that it is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Trial,
    Active,
    Frozen,
}

/// What a request names, of which somebody else's looks like an absent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// One tenant, in the path: 404 `not_found`.
    Tenant,
    /// A thing of one tenant, by `{id}` in the path: 404 `not_found`.
    Thing,
    /// A product that must be there, by `{key}` in the path: 404 `not_found`.
    Product,
    /// A product to be put there, by `{key}` in the path.
    NewProduct,
    /// One tenant, in this member of the body: 404 `tenant_not_found`.
    InBody(&'static str),
    /// One tenant, in the filter `tenant_id`: 404 `tenant_not_found`.
    InFilter,
    /// Nothing that could be foreign.
    Nothing,
}

/// What a good call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing. A POST of this kind ignores `Idempotency-Key`.
    Reads,
    /// It changes something; a frozen tenant's callers are refused.
    Changes,
    /// It changes something, and a frozen tenant's callers may do it all the same.
    ChangesEvenFrozen,
    /// It leaves the events that it brings, and none of its own.
    Publishes,
}

/// One event that an operation leaves. Empty texts are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub(crate) action: &'static str,
    pub(crate) crud: Crud,
    /// The type of the target.
    pub(crate) target: &'static str,
    /// The target's id: a text to be filled, or a pointer into the answer.
    pub(crate) id: &'static str,
    /// The target's name, likewise.
    pub(crate) name: &'static str,
    /// Whether it belongs to a tenant.
    pub(crate) grouped: bool,
}

/// How an operation meets something that it does not take: 409 where the state is not one for it, 422 with a code of its own
/// where the request is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) code: &'static str,
    /// What the tenant has then.
    pub(crate) has: Has,
    /// The state of the tenant then.
    pub(crate) start: Start,
    /// The body then, where it is another than that of a good call.
    pub(crate) body: Option<&'static str>,
}

/// What the tests of lists must know of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    /// The operation that adds an item.
    pub(crate) adds: &'static str,
    /// Where an item's own name stands.
    pub(crate) key: &'static str,
    /// Where an item says whose it is; empty where it belongs to nobody.
    pub(crate) owner: &'static str,
    /// Good filters, each of which makes another list of it.
    pub(crate) filters: &'static [&'static str],
}

/// An operation of the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// `operationId`.
    pub(crate) id: &'static str,
    /// The HTTP method.
    pub(crate) verb: &'static str,
    /// As in the document.
    pub(crate) path: &'static str,
    /// The query of a good call, without `?`.
    pub(crate) query: &'static str,
    /// The body of a good call, where the operation takes one.
    pub(crate) body: Option<&'static str>,
    /// How many bytes a body may have.
    pub(crate) body_max: usize,
    /// `x-may-call`.
    pub(crate) may: &'static str,
    pub(crate) names: Names,
    /// The tenant that a good call wants.
    pub(crate) start: Start,
    /// What that tenant has.
    pub(crate) has: Has,
    /// The status of a good call.
    pub(crate) success: u16,
    /// The media type of a good answer.
    pub(crate) media: &'static str,
    pub(crate) effect: Effect,
    /// What a good call leaves in the audit log.
    pub(crate) audit: &'static [Leaves],
    /// 422 with codes of their own, judged before the tenant is looked for.
    pub(crate) refusals: &'static [Clash],
    /// 409.
    pub(crate) conflicts: &'static [Clash],
    /// Whether the first answer has a `plaintext`, which no replay repeats.
    pub(crate) reveals: bool,
    /// What a good answer says while the tenant is frozen: pointers and JSON.
    pub(crate) frozen_says: &'static [(&'static str, &'static str)],
    pub(crate) list: Option<List>,
}

impl Operation {
    pub(crate) fn method(&self) -> Method {
        self.verb.parse().unwrap()
    }

    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        self.effect != Effect::Reads
    }

    /// Whether it is a write to a tenant that the path names, which honours `If-Match`.
    pub(crate) fn writes_to_tenant(&self) -> bool {
        self.writes() && self.names == Names::Tenant
    }

    /// Whether `Idempotency-Key` counts.
    pub(crate) fn takes_a_key(&self) -> bool {
        self.verb == "POST" && self.writes()
    }

    pub(crate) fn is_public(&self) -> bool {
        self.may == "public"
    }

    /// Whether it can be called on something that is not there.
    pub(crate) fn names_something(&self) -> bool {
        self.absent_code().is_some()
    }

    /// Whether what it names belongs to one tenant.
    pub(crate) fn names_a_tenants_own(&self) -> bool {
        self.names_something() && self.names != Names::Product
    }

    /// The code of the 404 where what it names is absent or foreign.
    pub(crate) fn absent_code(&self) -> Option<&'static str> {
        match self.names {
            Names::Tenant | Names::Thing | Names::Product => Some("not_found"),
            Names::InBody(_) | Names::InFilter => Some("tenant_not_found"),
            Names::NewProduct | Names::Nothing => None,
        }
    }
}

/// An event about what the request made or changed.
const fn leaves(action: &'static str, crud: Crud, target: &'static str) -> Leaves {
    Leaves { action, crud, target, id: "", name: "", grouped: true }
}

/// A state of the tenant that a call does not take.
const fn in_state(start: Start) -> Clash {
    Clash { code: "invalid_transition", has: Has::Nothing, start, body: None }
}

/// Something that the tenant has, and that a call does not take.
const fn with(has: Has, code: &'static str) -> Clash {
    Clash { code, has, start: Start::Trial, body: None }
}

/// A read of one tenant, which the other rows are told as a difference to.
const READ: Operation = Operation {
    id: "",
    verb: "GET",
    path: "",
    query: "",
    body: None,
    body_max: 1 << 20,
    may: "tenant:read",
    names: Names::Tenant,
    start: Start::Trial,
    has: Has::Nothing,
    success: 200,
    media: "application/json",
    effect: Effect::Reads,
    audit: &[],
    refusals: &[],
    conflicts: &[],
    reveals: false,
    frozen_says: &[],
    list: None,
};

/// The rows by resource. Add yours here.
const GROUPS: [&[Operation]; 5] = [tenants::ROWS, catalog::ROWS, keys::ROWS, audit::ROWS, keycloak::ROWS];

/// Every operation.
pub(crate) fn operations() -> impl Iterator<Item = &'static Operation> {
    GROUPS.into_iter().flatten()
}

/// Operations of the API proper; probes ignore what they do not know.
pub(crate) fn of_the_api() -> impl Iterator<Item = &'static Operation> {
    operations().filter(|row| row.path.starts_with("/v1"))
}

/// The operation of this id.
pub(crate) fn operation(id: &str) -> &'static Operation {
    operations().find(|row| row.id == id).unwrap_or_else(|| panic!("no operation {id}"))
}

/// Routes that are served and stand in no document: (path, media type). May only shrink.
pub(crate) const UNDOCUMENTED: &[&str] = &["/docs", "/metrics", "/openapi.json", "/openapi.yaml"];
