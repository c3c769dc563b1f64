//! What memory keeps of a tenant.
//!
//! The directory fills its shelves with it; handlers read it. Invariant: nothing here changes but the rendered form, which
//! is made once, and always the same of one tenant.

use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;
use domain::{Result, Tenant};

/// A tenant in memory, with room for the answer that is made of it: made once, given out as often as it is asked for.
#[derive(Debug)]
pub struct Known {
    tenant: Tenant,
    rendered: OnceLock<Bytes>,
}

impl Known {
    /// A tenant of which no answer has been made.
    #[must_use]
    pub fn new(tenant: Tenant) -> Self {
        Self { tenant, rendered: OnceLock::new() }
    }

    /// The answer, made now if it was not made before. `render` must always make the same of one tenant.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn rendered<E>(&self, render: impl FnOnce(&Tenant) -> Result<Bytes, E>) -> Result<Bytes, E> {
        match self.rendered.get() {
            Some(known) => Ok(known.clone()),
            None => render(&self.tenant).map(|fresh| self.rendered.get_or_init(|| fresh).clone()),
        }
    }
}

impl Deref for Known {
    type Target = Tenant;
    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}
