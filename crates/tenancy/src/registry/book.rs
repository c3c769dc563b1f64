//! Who is registered, and where: what is changed under the book lock.
//!
//! `registry/mod.rs` calls this for what embedders ask for. Invariant: other people's values, platforms above all, are dropped under no lock.

use std::sync::Arc;

use super::Inner;
use super::error::RegistryError;
use super::flight::{Build, Landed, Wanted};
use super::routes::Shadows;
use super::slot::{Slot, State};
use crate::id::TenantId;
use crate::reason::Reason;
use crate::validate::Verdict;

impl<P: Send + Sync + 'static> Inner<P> {
    pub(crate) fn slot(&self, tenant_id: &str) -> Option<Arc<Slot<P>>> {
        self.tenants.pin().get(tenant_id).cloned()
    }

    pub(crate) fn enter_tenant(&self, tenant_id: &TenantId, slot: &Arc<Slot<P>>) -> Result<(), RegistryError> {
        let book = self.routes.open(&self.book);
        let tenants = self.tenants.pin();
        if tenants.contains_key(&**tenant_id) {
            return Err(RegistryError::AlreadyRegistered { tenant_id: tenant_id.clone() });
        }
        // Nobody knows the slot yet: its lock is free.
        let shadows = {
            let state = slot.read();
            state.routes.iter().try_for_each(|route| self.routes.free_for(slot, route))?;
            Shadows::of(&state.routes, &[])
        };
        let change = self.routes.change();
        let event = slot.arrive(&self.around, |state, published| {
            tenants.insert(tenant_id.clone(), Arc::clone(slot));
            for (route, number) in state.routes.iter().zip(&state.numbers) {
                self.routes.enter(slot, route, *number, Some(published));
            }
        });
        self.routes.lengthen(&shadows);
        drop(change);
        drop(book);
        event.log();
        Ok(())
    }

    pub(crate) fn strike_tenant(&self, tenant_id: &str) -> bool {
        let book = self.routes.open(&self.book);
        let Some(slot) = self.slot(tenant_id) else { return false };
        book.takes_out();
        let (routes, numbers, reserved) = {
            let mut state = slot.read();
            (state.routes.clone(), state.numbers.clone(), std::mem::take(&mut state.reserved))
        };
        let change = self.routes.change();
        self.routes.shorten(&Shadows::of(&[], &routes));
        let remains = slot.leave(&self.around);
        for (route, number) in routes.iter().zip(&numbers).chain(reserved.iter().map(|(route, number)| (route, number)))
        {
            self.routes.strike(&slot, route, *number);
        }
        drop(change);
        self.tenants.pin().remove(tenant_id);
        drop(book);
        // Other people's values go after the lock: their `drop` may come back here.
        drop(remains);
        true
    }

    /// Changes a tenant whose routes stay as they are.
    pub(crate) fn change<R>(&self, slot: &Arc<Slot<P>>, change: impl FnOnce(&mut State<P>) -> R) -> R {
        let (result, published) = slot.change(&self.around, change);
        if published {
            let book = self.routes.open(&self.book);
            book.takes_out();
            let (routes, numbers) = {
                let state = slot.read();
                (state.routes.clone(), state.numbers.clone())
            };
            self.routes.show(slot, routes.iter().zip(&numbers));
        }
        result
    }

    pub(crate) fn set_suspended(&self, tenant_id: &str, reason: Option<Reason>) -> bool {
        let Some(slot) = self.slot(tenant_id) else { return false };
        self.change(&slot, |state| {
            let changes = state.registered && state.suspended != reason;
            if changes {
                state.suspended = reason;
            }
            changes
        })
    }

    /// Where there is nothing to wait for: without a validator a built tenant is valid when it is asked. None where a
    /// flight is needed.
    pub(crate) fn check_at_once(&self, slot: &Arc<Slot<P>>) -> Option<Landed> {
        if self.validator.is_some() || slot.read().to_build(Build::Yes).is_some() {
            return None;
        }
        let now = (self.around.clock)();
        Some(self.change(slot, |state| {
            state.registered.then(|| {
                state.found(&Verdict::Valid, now);
                Box::new(state.status())
            })
        }))
    }

    /// Has a lazy tenant built that waits for nothing else, or for a validation that is under way.
    pub(crate) async fn build_for_request(self: &Arc<Self>, slot: &Arc<Slot<P>>) {
        let worth_it = {
            let state = slot.read();
            state.waits_for_request() && (state.standing.validated || state.flight.is_some())
        };
        if worth_it {
            self.fly(slot, Wanted { validate: false, build: Build::ForRequest }).await;
        }
    }
}
