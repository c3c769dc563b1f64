//! API keys: made, rotated, revoked, listed, verified, and taken as credentials of this service.
//!
//! A write to a tenant's key locks the tenant first and the key second, as every write to a thing of a tenant; a key of
//! the platform has nobody to lock but itself. Invariants: a key's text is in what [`Minted`] carries to the one answer
//! and nowhere else; after a write the key is forgotten before anybody is answered, also when the commit failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::api_key::{Owner, format, verdict};
use domain::audit::{AuditEvent, Crud, Party};
use domain::{
    ApiKey, ApiKeyId, Caller, Entitlement, Error, KeyEnv, Minted, NewApiKey, Reach, Resource, Result, Tenant, TenantId,
    Timestamp, VerifyCode,
};
use serde::Serialize;
use store::{Page, Scope, Tx, Unaudited};

use super::directory::Known;
use super::known_key::KnownKey;
use super::tenants::{Write, scope};
use super::{App, Ctx};

/// What became of verifying a key.
#[derive(Debug)]
pub struct Verified {
    /// The answer.
    pub code: VerifyCode,
    /// The key, where it was found.
    pub key: Option<Arc<KnownKey>>,
    /// Its tenant, where it has one.
    pub tenant: Option<Arc<Known>>,
    /// What the tenant has, in the order of the products' keys; nothing unless the key is good.
    entitlements: Arc<Vec<Entitlement>>,
    /// When this was so.
    pub at: Timestamp,
}

impl Verified {
    fn without_key(code: VerifyCode, at: Timestamp) -> Self {
        Self { code, key: None, tenant: None, entitlements: Arc::default(), at }
    }

    /// The products that the tenant may use, sorted; none unless the key is good.
    pub fn products(&self) -> impl Iterator<Item = &str> {
        // The key is good, so its tenant is not frozen.
        let effective = |entitlement: &&Entitlement| entitlement.is_effective(self.at, false);
        self.entitlements.iter().filter(effective).map(|entitlement| entitlement.product.as_str())
    }
}

/// When keys were used, until a job writes it down.
#[derive(Debug, Default)]
pub(super) struct KeyUses(Mutex<HashMap<ApiKeyId, Timestamp>>);

impl KeyUses {
    fn lock(&self) -> MutexGuard<'_, HashMap<ApiKeyId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, uses: impl IntoIterator<Item = (ApiKeyId, Timestamp)>) {
        let mut noted = self.lock();
        for (id, at) in uses {
            let last = noted.entry(id).or_insert(at);
            *last = at.max(*last);
        }
    }

    fn take(&self, batch: usize) -> Vec<(ApiKeyId, Timestamp)> {
        let mut noted = self.lock();
        if noted.len() <= batch {
            return noted.drain().collect();
        }
        let ids: Vec<ApiKeyId> = noted.keys().copied().take(batch).collect();
        ids.into_iter().filter_map(|id| noted.remove_entry(&id)).collect()
    }
}

/// A write to a key under way: the transaction, the tenant if it has one, and the locked key.
struct KeyWrite {
    tx: Box<dyn Tx>,
    tenant: Option<Tenant>,
    events: Vec<AuditEvent>,
    now: Timestamp,
    expired: bool,
    key: ApiKey,
}

impl KeyWrite {
    fn note(&mut self, event: AuditEvent) {
        self.events.push(match &self.tenant {
            Some(tenant) => event.about(tenant),
            None => event,
        });
    }
}

impl App {
    /// Judges what a new key is to be, without a look at anything that is kept: before it is made, and before the answer of
    /// an earlier request is given again, whose caller may have been more than this one is.
    ///
    /// # Errors
    /// As [`App::create_api_key`].
    pub fn judge_new_key(&self, ctx: &Ctx, new: &NewApiKey) -> Result<()> {
        let violations = new.check(ctx.now());
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        may_grant(&ctx.caller, &new.scopes)?;
        match new.tenant_id {
            None => platform_admins_only(ctx),
            Some(tenant) if !ctx.caller.reaches(tenant) => Err(Error::NotFound(Resource::NamedTenant)),
            Some(_) => Ok(()),
        }
    }

    /// Finds the key that is to be rotated or revoked and judges who asks: for a key of the platform only its admins,
    /// who alone make them.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    async fn changeable_key(&self, ctx: &Ctx, id: ApiKeyId) -> Result<ApiKey> {
        let found = self.reachable_key(ctx, id).await?;
        if found.tenant_id.is_none() {
            platform_admins_only(ctx)?;
        }
        Ok(found)
    }

    /// Judges a rotation, as [`App::judge_new_key`] does a creation.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`.
    pub async fn judge_rotation(&self, ctx: &Ctx, id: ApiKeyId) -> Result<ApiKey> {
        let found = self.changeable_key(ctx, id).await?;
        may_grant(&ctx.caller, &found.scopes)?;
        Ok(found)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// Violations; `Forbidden` for a scope that the caller may not give away, and for a key of the platform of anybody but
    /// a platform admin; `NotFound`, `TenantFrozen`.
    pub async fn create_api_key(&self, ctx: &Ctx, new: NewApiKey) -> Result<Minted> {
        self.judge_new_key(ctx, &new)?;
        let (tx, tenant, events, now, expired) = match new.tenant_id {
            Some(id) => {
                let Write { tx, tenant, events, now, expired } = self.write_to(ctx, id, Resource::NamedTenant).await?;
                (tx, Some(tenant), events, now, expired)
            }
            None => (self.store.begin(Scope::Platform).await?, None, Vec::new(), ctx.now(), false),
        };
        let plaintext = format::mint(self.key_env, &*ctx.rng);
        let id = ApiKeyId::generate(&*ctx.clock, &*ctx.rng);
        let key = new.make(id, self.key_env, &plaintext, &ctx.caller.actor, now);
        let mut write = KeyWrite { tx, tenant, events, now, expired, key };
        write.note(event(ctx, "api_key.created", Crud::C, &write.key, now));
        write.tx.insert_api_key(&write.key).await?;
        let minted = Minted { key: write.key.clone(), plaintext: Some(plaintext) };
        self.finish_key(ctx, write, &minted, &[&minted.key]).await?;
        Ok(minted)
    }

    /// Puts a new key with the same properties in the place of a key, which lives on for `overlap` seconds at most.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when it has scopes that the caller may not give away, and for a key of the platform of anybody
    /// but a platform admin; `TenantFrozen`, `KeyNotRotatable`.
    pub async fn rotate_api_key(&self, ctx: &Ctx, id: ApiKeyId, overlap: u32) -> Result<Minted> {
        let found = self.judge_rotation(ctx, id).await?;
        let mut write = self.write_key(ctx, &found, Frozen::Refused).await?;
        // The whole prefix goes over, whatever this installation's own is.
        let env = KeyEnv::of_prefix(&write.key.prefix).unwrap_or(self.key_env);
        let plaintext = format::mint(env, &*ctx.rng);
        let new_id = ApiKeyId::generate(&*ctx.clock, &*ctx.rng);
        let successor = write.key.rotate(new_id, &plaintext, overlap, &ctx.caller.actor, write.now)?;
        let rotated = event(ctx, "api_key.rotated", Crud::U, &write.key, write.now)
            .with("new_key_id", new_id.to_string())
            .with("overlap_seconds", overlap.to_string());
        write.note(rotated);
        write.tx.insert_api_key(&successor).await?;
        write.tx.update_api_key(&write.key).await?;
        let old = write.key.clone();
        let minted = Minted { key: successor, plaintext: Some(plaintext) };
        self.finish_key(ctx, write, &minted, &[&old, &minted.key]).await?;
        Ok(minted)
    }

    /// Revokes a key, also a frozen tenant's; one that is revoked stays as it is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_api_key(&self, ctx: &Ctx, id: ApiKeyId) -> Result<()> {
        let found = self.changeable_key(ctx, id).await?;
        let mut write = self.write_key(ctx, &found, Frozen::Allowed).await?;
        if write.key.revoke(write.now) {
            write.note(event(ctx, "api_key.revoked", Crud::D, &write.key, write.now));
            write.tx.update_api_key(&write.key).await?;
        }
        self.finish_key(ctx, write, &(), &[&found]).await
    }

    /// Keys, newest first, revoked ones too: those of one tenant, or all that the caller reaches.
    ///
    /// # Errors
    /// `NotFound` for a tenant that is absent or foreign.
    pub async fn list_api_keys(
        &self,
        ctx: &Ctx,
        tenant: Option<TenantId>,
        page: Page<ApiKeyId>,
    ) -> Result<Vec<ApiKey>> {
        let Some(tenant) = self.listed_tenant(ctx, tenant).await? else { return Ok(Vec::new()) };
        let mut tx = self.store.read(scope(ctx)).await?;
        Ok(tx.list_api_keys(tenant, page).await?)
    }

    /// Judges a key for a product of the platform, and for a scope where one is asked for.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked: what is wrong with the key is no error but an answer.
    pub async fn verify_api_key(&self, ctx: &Ctx, text: &str, wanted: Option<&str>) -> Result<Verified> {
        let now = ctx.now();
        let Ok(well_formed) = format::read(text) else { return Ok(Verified::without_key(VerifyCode::Malformed, now)) };
        let absent = || Ok(Verified::without_key(VerifyCode::NotFound, now));
        if well_formed.env != self.key_env {
            return absent();
        }
        let Some(key) = self.directory.api_key(&format::hash(text)).await? else { return absent() };
        let tenant = match key.tenant_id {
            Some(id) => self.directory.by_id(id).await?,
            None => None,
        };
        let in_scope = wanted.is_none_or(|wanted| key.carries(wanted));
        let code = verdict(key.life(), owner(&key, tenant.as_deref()), in_scope, now);
        let entitlements = match (code, key.tenant_id) {
            (VerifyCode::NotFound, _) => return absent(),
            (VerifyCode::Valid, Some(tenant)) => self.directory.entitlements(tenant).await?,
            _ => Arc::default(),
        };
        if code == VerifyCode::Valid {
            self.note_use(&key, now);
        }
        Ok(Verified { code, key: Some(key), tenant, entitlements, at: now })
    }

    /// Who calls with a key as credential. A frozen tenant's key calls too: what it may do then is the write's to judge.
    ///
    /// # Errors
    /// `Unauthenticated`; those of the store, when it had to be asked.
    pub async fn caller_with_key(&self, text: &str) -> Result<Arc<Caller>> {
        let unknown = || Error::Unauthenticated("the API key is not known");
        let env = format::read(text).map_err(|_| unknown())?.env;
        if env != self.key_env {
            return Err(unknown());
        }
        let key = self.directory.api_key(&format::hash(text)).await?.ok_or_else(unknown)?;
        let tenant = match key.tenant_id {
            Some(id) => self.directory.by_id(id).await?,
            None => None,
        };
        let now = self.clock.now();
        match verdict(key.life(), owner(&key, tenant.as_deref()), true, now) {
            VerifyCode::Valid | VerifyCode::TenantFrozen | VerifyCode::InsufficientScope => {
                self.note_use(&key, now);
                Ok(Arc::clone(key.caller()))
            }
            VerifyCode::Revoked => Err(Error::Unauthenticated("the API key was revoked")),
            VerifyCode::Expired => Err(Error::Unauthenticated("the API key has expired")),
            VerifyCode::Malformed | VerifyCode::NotFound => Err(unknown()),
        }
    }

    /// Writes down when at most `batch` keys were last used. Says whether there are more.
    ///
    /// # Errors
    /// Those of the store; what could not be written is kept for the next time.
    pub async fn note_key_uses_all_tenants(&self, batch: usize) -> Result<bool> {
        let mut uses = self.key_uses.take(batch);
        if uses.is_empty() {
            return Ok(false);
        }
        uses.sort_unstable();
        let written = async {
            let mut tx = self.store.begin(Scope::Platform).await?;
            tx.note_api_key_use(&uses).await?;
            tx.commit_unaudited(Unaudited::LastUse).await
        };
        if let Err(error) = written.await {
            self.key_uses.note(uses);
            return Err(error.into());
        }
        Ok(uses.len() == batch)
    }

    fn note_use(&self, key: &KnownKey, now: Timestamp) {
        if key.first_in_minute(now) {
            self.key_uses.note([(key.id, now)]);
        }
    }

    /// A key by id, if the caller reaches it: those of the platform only who reaches every tenant.
    async fn reachable_key(&self, ctx: &Ctx, id: ApiKeyId) -> Result<ApiKey> {
        let found = self.store.read(Scope::Platform).await?.get_api_key(id).await?;
        let reached = |key: &ApiKey| match key.tenant_id {
            Some(tenant) => ctx.caller.reaches(tenant),
            None => ctx.caller.reach == Reach::All,
        };
        found.filter(reached).ok_or(Error::NotFound(Resource::ApiKey))
    }

    /// Begins a write to a key that was found: locks its tenant, judges freeze, and locks the key.
    async fn write_key(&self, ctx: &Ctx, found: &ApiKey, frozen: Frozen) -> Result<KeyWrite> {
        let (mut tx, tenant, events, now, expired) = match found.tenant_id {
            Some(id) => {
                let Write { tx, tenant, events, now, expired } = match frozen {
                    Frozen::Refused => self.write_to(ctx, id, Resource::ApiKey).await?,
                    Frozen::Allowed => self.write_even_frozen(ctx, id, Resource::ApiKey).await?,
                };
                (tx, Some(tenant), events, now, expired)
            }
            None => (self.store.begin(Scope::Platform).await?, None, Vec::new(), ctx.now(), false),
        };
        let key = tx.lock_api_key(found.id).await?.ok_or(Error::NotFound(Resource::ApiKey))?;
        Ok(KeyWrite { tx, tenant, events, now, expired, key })
    }

    /// Commits a write, and forgets the keys that it touched.
    async fn finish_key(
        &self,
        ctx: &Ctx,
        write: KeyWrite,
        outcome: &(impl Serialize + Sync),
        touched: &[&ApiKey],
    ) -> Result<()> {
        let KeyWrite { tx, tenant, events, now, expired, .. } = write;
        let committed = match tenant {
            Some(tenant) => self.finish_with(ctx, Write { tx, tenant, events, now, expired }, outcome).await,
            None => self.commit(ctx, tx, outcome, events).await,
        };
        for key in touched {
            self.directory.forget_api_key(&key.hash);
        }
        committed
    }
}

/// Whether a write may go to a frozen tenant's key.
#[derive(Clone, Copy)]
enum Frozen {
    Refused,
    Allowed,
}

fn owner<'a>(key: &KnownKey, tenant: Option<&'a Known>) -> Owner<'a> {
    match key.tenant_id {
        Some(_) => Owner::Tenant(tenant.map(|known| &**known)),
        None => Owner::Platform,
    }
}

fn platform_admins_only(ctx: &Ctx) -> Result<()> {
    if ctx.caller.is_platform_admin() {
        Ok(())
    } else {
        Err(Error::Forbidden("only platform admins make, rotate and revoke keys of the platform"))
    }
}

/// Nobody gives away what they do not hold.
fn may_grant(caller: &Caller, scopes: &[String]) -> Result<()> {
    match scopes.iter().all(|scope| caller.may_grant(scope)) {
        true => Ok(()),
        false => Err(Error::Forbidden("nobody gives a key a scope that they do not hold themselves")),
    }
}

fn event(ctx: &Ctx, action: &str, crud: Crud, key: &ApiKey, now: Timestamp) -> AuditEvent {
    ctx.event(action, crud, Party::target("api_key", key.id.to_string(), key.name.clone()), now)
}
