//! The identity provider: one suite for the mock, for an in-process Keycloak with faults, and for a real one; and what the
//! adapter does when the other side fails.

mod failures;
mod fake;
mod real;
mod rules;
mod suite;
mod worlds;

use fake::FakeKeycloak;
use real::Real;
use suite::suite;
use worlds::{Keycloak, Mock};

suite!(mock, Mock);
suite!(fake_keycloak, Keycloak<FakeKeycloak>);
suite!(real_keycloak, Keycloak<Real>);
