//! What ends the processes that were started here, and removes their folder, when this process is gone however it ended.
//!
//! `real.rs` and `make dev-full` start one each. Invariant: only this process holds the writing end of the pipe (std opens
//! it close-on-exec), so that it closes with us and with nothing else.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

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

/// The shell that waits.
#[derive(Debug)]
pub(crate) struct Watchdog {
    process: Child,
    line: Option<ChildStdin>,
}

impl Watchdog {
    /// One that removes a folder in the end.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(folder)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = process.stdin.take();
        Self { process, line }
    }

    /// A child that leads a process group of its own.
    pub(crate) fn watch(&mut self, child: &Child) {
        writeln!(self.line.as_mut().unwrap(), "{}", child.id()).unwrap();
    }

    /// Ends everything now, and waits until it has ended. A child that nobody reaps is still there for the shell, so
    /// its parent gives it here.
    pub(crate) fn end_with(&mut self, child: &mut Child) {
        drop(self.line.take());
        child.wait().unwrap();
        self.process.wait().unwrap();
    }
}
