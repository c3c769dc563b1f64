//! What goes wrong, and at which call.

use std::fmt;

use super::State;

/// What goes wrong around a call.
pub(crate) enum Fault {
    /// This is answered, perhaps with `Retry-After`, and nothing is done.
    Status(u16, Option<u64>, Vec<u8>),
    /// Nothing is done, nothing is answered.
    Hang,
    /// It is done, and nothing is answered.
    HangAfter,
    /// It is done, and the connection ends without an answer.
    CutAfter,
    /// Somebody else is faster.
    Meanwhile(Box<dyn FnOnce(&mut State) + Send>),
    /// Somebody else is faster, and this is answered.
    Instead(Box<dyn FnOnce(&mut State) + Send>, u16, Vec<u8>),
    /// It is done, and this stands in the answer.
    Body(Vec<u8>),
    /// It is done, and the answer's `Location` is this.
    Location(Option<String>),
    /// It is done, and half of the answer's body comes.
    SlowBody,
}

impl Fault {
    /// This status, and nothing else.
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, None, Vec::new())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fault")
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<(String, u32, Fault)>,
    pub(super) calls: Vec<String>,
}

impl Faults {
    pub(super) fn add(&mut self, call: &str, nth: u32, fault: Fault) {
        self.planned.push((call.to_owned(), nth, fault));
    }

    /// Notes a call, and takes what was planned for it.
    pub(super) fn next(&mut self, call: &str) -> Option<Fault> {
        self.calls.push(call.to_owned());
        let mut due = None;
        for (at, (_, left, _)) in
            self.planned.iter_mut().enumerate().filter(|(_, (name, ..))| name == call || name == "*")
        {
            *left -= 1;
            if *left == 0 {
                due.get_or_insert(at);
            }
        }
        let due = due.map(|at| self.planned.remove(at).2);
        self.planned.retain(|(_, left, _)| *left > 0);
        due
    }
}
