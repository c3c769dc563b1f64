//! A shell that outlives this process by a moment, and ends what was started here.
//!
//! The private PostgreSQL (`postgres.rs`), the real Keycloak and the service's own processes in the tests of `server` each
//! start one with a script of their own, tell it line by line what there is to end, and need not be asked to end it.
//! Invariant: only this process holds the writing end of the pipe (std opens it close-on-exec, so that no other child keeps
//! it): the script's input ends with us, however we end.

#![expect(clippy::expect_used, reason = "test support: without its watchdog a test would leave processes behind")]

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The shell.
#[derive(Debug)]
pub struct Watchdog {
    process: Child,
    lines: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts a script, out of reach of the terminal's signals. `argument` is its `$1`.
    ///
    /// # Panics
    /// Without a shell.
    #[must_use]
    pub fn start(name: &str, script: &str, argument: impl AsRef<OsStr>) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", script, name])
            .arg(argument)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell for the watchdog");
        let lines = process.stdin.take();
        Self { process, lines }
    }

    /// Gives the script a line.
    ///
    /// # Panics
    /// After [`Watchdog::release`], or when somebody ended the shell.
    pub fn tell(&mut self, line: impl std::fmt::Display) {
        let lines = self.lines.as_mut().expect("the pipe is open until the end");
        writeln!(lines, "{line}").expect("the watchdog ends after us");
    }

    /// Ends the script's input: it does now what it would do when this process has ended.
    pub fn release(&mut self) {
        drop(self.lines.take());
    }

    /// Waits until the script, whose input has ended, has done that.
    pub fn wait(&mut self) {
        // Called while dropping, where a second panic would hide the first.
        _ = self.process.wait();
    }
}
