//! Replacing a tenant's configuration without a gap.
//!
//! The new one is validated and built beside the old one, which serves until then; the switch is one step under the
//! tenant's lock. All of it runs in the caller's future, so that a caller who drops it has replaced nothing. Invariant:
//! whichever way it ends, every route that was reserved is either the tenant's or free again.

use std::sync::Arc;

use super::Inner;
use super::config::{Draft, Source, target};
use super::error::RegistryError;
use super::flight::or_left;
use super::routes::Shadows;
use super::slot::{Replacement, Slot};
use super::status::TenantStatus;
use crate::validate::Verdict;

impl<P: Send + Sync + 'static> Inner<P> {
    pub(crate) async fn replace(&self, slot: &Arc<Slot<P>>, draft: Draft<P>) -> Result<TenantStatus, RegistryError> {
        let tenant_id = slot.read().tenant_id.clone();
        let unknown = || RegistryError::UnknownTenant { tenant_id: tenant_id.clone() };
        let refused = |reason| RegistryError::ReplacementRefused { tenant_id: tenant_id.clone(), reason };

        let _turn = or_left(slot, slot.turn().lock_owned()).await.ok_or_else(unknown)?;
        let reservation = self.reserve(slot, &draft)?;
        let target = target(&tenant_id, &draft.routes, draft.extras.as_deref());
        match or_left(slot, self.validate(target)).await.ok_or_else(unknown)? {
            Verdict::Valid => {}
            Verdict::Transient(reason) | Verdict::Permanent(reason) => return Err(refused(reason)),
        }
        let (factory, platform) = match draft.source {
            Source::Ready(platform) => (None, platform),
            Source::Lazy(factory) => {
                let building = self.build(Arc::clone(&factory));
                let built = or_left(slot, building).await.ok_or_else(unknown)?;
                (Some(factory), built.map_err(refused)?)
            }
        };
        let numbers = reservation.numbers.clone();
        let new = Replacement { routes: draft.routes, numbers, extras: draft.extras, factory, platform };
        reservation.redeem(new).ok_or_else(unknown)
    }

    /// Keeps the draft's routes for the tenant, which holds some of them already as a rule.
    fn reserve<'a>(&'a self, slot: &'a Arc<Slot<P>>, draft: &Draft<P>) -> Result<Reservation<'a, P>, RegistryError> {
        let book = self.routes.open(&self.book);
        // Of a tenant that left it is not said whose its routes are now.
        if !slot.read().registered {
            return Err(RegistryError::UnknownTenant { tenant_id: slot.read().tenant_id.clone() });
        }
        for route in &draft.routes {
            self.routes.free_for(slot, route)?;
        }
        let mut state = slot.read();
        let mut numbers = Vec::with_capacity(draft.routes.len());
        for route in &draft.routes {
            let held = state.routes.iter().position(|held| held.same_route(route));
            numbers.push(match held {
                Some(at) => state.numbers[at],
                None => {
                    let number = state.number();
                    state.reserved.push((route.clone(), number));
                    number
                }
            });
        }
        let reserved = state.reserved.clone();
        drop(state);
        // Other routes of the same hosts are written anew beside them.
        book.takes_out();
        for (route, number) in &reserved {
            self.routes.enter(slot, route, *number, None);
        }
        Ok(Reservation { inner: self, slot, numbers: numbers.into_boxed_slice(), redeemed: false })
    }
}

/// Routes that are kept until the replacement is decided.
struct Reservation<'a, P: Send + Sync + 'static> {
    inner: &'a Inner<P>,
    slot: &'a Arc<Slot<P>>,
    /// The number of each route of the new configuration.
    numbers: Box<[u32]>,
    redeemed: bool,
}

impl<P: Send + Sync + 'static> Reservation<'_, P> {
    /// The switch. None if the tenant left.
    fn redeem(mut self, new: Replacement<P>) -> Option<TenantStatus> {
        let Inner { around, schedule, .. } = self.inner;
        let now = (around.clock)();
        let next = schedule.next(0);
        let book = self.inner.routes.open(&self.inner.book);
        book.takes_out();
        let (old, reserved) = {
            let mut state = self.slot.read();
            if !state.registered {
                return None;
            }
            let old: Vec<_> = state.routes.iter().cloned().zip(state.numbers.iter().copied()).collect();
            (old, std::mem::take(&mut state.reserved))
        };
        let routes = &self.inner.routes;
        let gone = old.iter().filter(|(_, number)| !self.numbers.contains(number));
        let shadows = Shadows::of(reserved.iter().map(|(route, _)| route), gone.clone().map(|(route, _)| route));
        let change = routes.change();
        routes.shorten(&shadows);
        let ((remains, status, now_held), _) = self.slot.change(around, |state| {
            let remains = state.take_over(new, now);
            state.next_check_at = next.and_then(|delay| now.checked_add(delay));
            (remains, state.status(), state.routes.clone())
        });
        routes.lengthen(&shadows);
        routes.show(self.slot, now_held.iter().zip(&self.numbers));
        for (route, number) in gone {
            routes.strike(self.slot, route, *number);
        }
        drop(change);
        drop(book);
        drop(remains);
        self.redeemed = true;
        if let Some(delay) = next {
            schedule.put(self.slot, delay);
        }
        Some(status)
    }
}

impl<P: Send + Sync + 'static> Drop for Reservation<'_, P> {
    fn drop(&mut self) {
        if self.redeemed {
            return;
        }
        let book = self.inner.routes.open(&self.inner.book);
        book.takes_out();
        let reserved = std::mem::take(&mut self.slot.read().reserved);
        for (route, number) in &reserved {
            self.inner.routes.strike(self.slot, route, *number);
        }
    }
}
