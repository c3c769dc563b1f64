//! A TCP proxy that can be told to fall silent, to cut answers off and to take its time, as a network does.
//!
//! It stands before PostgreSQL in the benchmark and before Keycloak in tests. What was on its way while it was silent is kept
//! and goes on when the proxy is told to speak again, as TCP itself would send it once more. Invariant: while it is silent
//! no byte passes, in either direction, on old connections and on new ones.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A proxy in threads of this process, until that ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    silent: Mutex<bool>,
    changed: Condvar,
    manner: Mutex<Manner>,
}

/// How answers are passed on.
#[derive(Debug, Default)]
struct Manner {
    /// So many answers from now the connection ends instead; none where this is zero.
    cut_in: u32,
    delay: Duration,
}

impl Proxy {
    pub(crate) fn start(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, gate) = (listener.local_addr()?, Arc::new(Gate::default()));
        let own = Arc::clone(&gate);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Without an upstream the client's connection ends, as it would without the proxy.
                let Ok(server) = TcpStream::connect(upstream) else { continue };
                for (from, to, answers) in [(&client, &server, false), (&server, &client, true)] {
                    if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                        let gate = Arc::clone(&own);
                        std::thread::spawn(move || pass_on(from, to, answers, &gate));
                    }
                }
            }
        });
        Ok(Self { address, gate })
    }

    /// From here on nothing comes through.
    pub(crate) fn fall_silent(&self) {
        self.gate.set(true);
    }

    /// The server's `nth` answer from now on, counted from one, is swallowed, and its connection ends.
    pub(crate) fn cut_answer(&self, nth: u32) {
        self.gate.manner().cut_in = nth;
    }

    /// Each answer comes so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.gate.manner().delay = delay;
    }

    /// What was held back goes on, and everything after it.
    pub(crate) fn speak(&self) {
        self.gate.set(false);
    }
}

impl Gate {
    fn set(&self, silent: bool) {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = silent;
        self.changed.notify_all();
    }

    fn manner(&self) -> std::sync::MutexGuard<'_, Manner> {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answer is to be passed on, once it has waited its time.
    fn admits_answer(&self) -> bool {
        let (delay, cut) = {
            let mut manner = self.manner();
            let cut = manner.cut_in == 1;
            manner.cut_in = manner.cut_in.saturating_sub(1);
            (manner.delay, cut)
        };
        std::thread::sleep(delay);
        !cut
    }

    /// Waits until something may pass, and lets it pass before anybody can fall silent again.
    fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = self.changed.wait_while(silent, |silent| *silent).unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, answers: bool, gate: &Gate) {
    // As fast as without a proxy: small messages must not wait for company.
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if answers && !gate.admits_answer() {
            let _ = to.shutdown(Shutdown::Both);
            break;
        }
        if gate.pass(|| to.write_all(&buffer[..count])).is_err() {
            break;
        }
    }
    gate.pass(|| {
        // The other end may be gone already.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    });
}
