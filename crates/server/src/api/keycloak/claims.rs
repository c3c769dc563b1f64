//! POST `/v1/internal/keycloak/claims`

use std::collections::BTreeMap;
use std::fmt;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{Error, FieldCode, Plan, Status, Violation};
use schemars::JsonSchema;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::api::auth::Service;
use crate::api::error::ApiError;
use crate::api::input::{Nothing, Params, QuickBody};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::api::tenants::view::{PlanWord, StatusWord};
use crate::app::claims::{Claims, LookUp};

/// By what a tenant is to be found. Everything that is given must lead to the same one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ClaimsQuestion {
    /// Its id, or an array whose first element that is.
    tenant_id: Option<OneOrMany>,
    /// Its slug, or an array whose first element that is.
    tenant_slug: Option<OneOrMany>,
    /// The attributes of a user or an organization, as Keycloak has them. `tenant_id` and `tenant_slug` are read as above,
    /// and those of the setting `CLAIMS_LOOKUP_KEYS` find the tenant whose metadata has that value. Others are ignored.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    user_attrs: Option<Attributes>,
}

/// A text, or an array of which the first element counts, as Keycloak writes attributes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<Option<String>>),
}

impl OneOrMany {
    fn first(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text),
            Self::Many(texts) => texts.first()?.as_deref(),
        }
    }
}

/// An attribute. Most are none of ours, and may be anything.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Attribute {
    Text(OneOrMany),
    Null(()),
    Other(IgnoredAny),
}

/// Attributes by name, none twice.
#[derive(Debug)]
struct Attributes(BTreeMap<String, Attribute>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Attributes, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = members.next_entry()? {
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Attributes(all))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Attributes {
    /// The text of an attribute, if there is one.
    fn text(&self, name: &str) -> Result<Option<&str>, Violation> {
        match self.0.get(name) {
            None | Some(Attribute::Null(())) => Ok(None),
            Some(Attribute::Text(text)) => Ok(text.first()),
            Some(Attribute::Other(_)) => Err(Violation::new(
                format!("user_attrs.{name}"),
                FieldCode::WrongType,
                "must be a string, an array of strings, or null",
            )),
        }
    }
}

impl ClaimsQuestion {
    fn look_ups<'a>(&'a self, keys: &'a [String]) -> Result<Vec<LookUp<'a>>, Error> {
        let mut look_ups = Vec::with_capacity(4);
        look_ups.extend(self.tenant_id.as_ref().and_then(OneOrMany::first).map(LookUp::Id));
        look_ups.extend(self.tenant_slug.as_ref().and_then(OneOrMany::first).map(LookUp::Slug));
        let Some(attributes) = &self.user_attrs else { return Ok(look_ups) };
        let mut violations = Vec::new();
        let mut read = |name: &str| {
            attributes.text(name).unwrap_or_else(|violation| {
                violations.push(violation);
                None
            })
        };
        look_ups.extend(read("tenant_id").map(LookUp::Id));
        look_ups.extend(read("tenant_slug").map(LookUp::Slug));
        let others = keys.iter().filter(|key| !matches!(key.as_str(), "tenant_id" | "tenant_slug"));
        look_ups.extend(others.filter_map(|key| read(key).map(|value| LookUp::Metadata { key, value })));
        if violations.is_empty() { Ok(look_ups) } else { Err(Error::Validation(violations)) }
    }
}

/// What a token says of its bearer's tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Claims")]
pub(in crate::api) struct ClaimsView<'a> {
    /// The tenant's id.
    tenant_id: Uuid,
    /// Its name in URLs.
    slug: &'a str,
    /// The products that it may use now, sorted; empty while it is frozen.
    #[schemars(with = "Vec<String>")]
    products: Products<'a>,
    /// What it bought.
    #[schemars(with = "PlanWord")]
    plan: Plan,
    /// Where it stands, by the service's clock.
    #[schemars(with = "StatusWord")]
    status: Status,
}

/// Products, written without making a list of them.
#[derive(Debug)]
struct Products<'a>(&'a Claims);

impl Serialize for Products<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.products())
    }
}

impl<'a> From<&'a Claims> for ClaimsView<'a> {
    fn from(claims: &'a Claims) -> Self {
        let tenant = &claims.tenant;
        Self {
            tenant_id: tenant.id.0,
            slug: tenant.slug.as_str(),
            products: Products(claims),
            plan: tenant.plan,
            status: tenant.status_at(claims.at),
        }
    }
}

pub(in crate::api) async fn get_claims(
    Service(ctx): Service,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    body: QuickBody<ClaimsQuestion>,
) -> Result<Reply<ClaimsView<'static>>, ApiError> {
    params.read()?;
    let look_ups = body.0.look_ups(state.app.claims_lookup_keys())?;
    let claims = state.app.claims(&ctx, &look_ups).await?;
    Reply::of(&ClaimsView::from(&claims))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("get_claims")
        .tag("keycloak")
        .summary("What a token is to say of a tenant")
        .description(
            "Asked by Keycloak's protocol mapper when it issues a token. Everything by which the tenant may be found must \
             lead to the same one: look-ups that disagree, or of which only some find a tenant, are 409 \
             `lookups_disagree`; where none finds any, 404. A frozen tenant is no error: `status` says so, and `products` \
             is empty. `Idempotency-Key` is ignored, since nothing is changed.",
        )
}
