//! What ends the processes that were started here, and removes their folder, when this process is gone however it ended.
//!
//! `real.rs` and `make dev-full` start one each. Invariant: who is told of leads a process group, all of which is ended.

use std::path::Path;
use std::process::Child;

use store::testing::watchdog;

/// $1 is a folder; each line read is a process group. Ends them all at the end of input, first by asking.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=''
while read -r line; do groups="$groups $line"; done
for group in $groups; do kill -s TERM -- "-$group" 2>/dev/null; done
rounds=0
for group in $groups; do
    while kill -s 0 -- "-$group" 2>/dev/null && [ "$rounds" -lt 100 ]; do sleep 0.1; rounds=$((rounds + 1)); done
    kill -s KILL -- "-$group" 2>/dev/null
done
rm -rf "$1"
"#;

/// What ends the process groups that it was told of.
#[derive(Debug)]
pub(crate) struct Watchdog(watchdog::Watchdog);

impl Watchdog {
    /// One that removes a folder in the end.
    pub(crate) fn start(folder: &Path) -> Self {
        Self(watchdog::Watchdog::start("watchdog", SCRIPT, folder))
    }

    /// A child that leads a process group of its own.
    pub(crate) fn watch(&mut self, child: &Child) {
        self.0.tell(child.id());
    }

    /// Ends everything now, and waits until it has ended. A child that nobody reaps is still there for the shell, so
    /// its parent gives it here.
    pub(crate) fn end_with(&mut self, child: &mut Child) {
        self.0.release();
        child.wait().unwrap();
        self.0.wait();
    }
}
