//! A TCP proxy that can be told to fall silent, as a network does: connections stay, nothing comes through.
//!
//! It stands between a replica and PostgreSQL. What was on its way is kept and goes on when the proxy is told to speak
//! again, as TCP itself would send it once more. Invariant: while it is silent no byte passes, in either direction, on old
//! connections and on new ones.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::Outcome;

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
}

impl Proxy {
    pub(crate) fn start(upstream: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, gate) = (listener.local_addr()?, Arc::new(Gate::default()));
        let own = Arc::clone(&gate);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Without an upstream the client's connection ends, as it would without the proxy.
                let Ok(server) = TcpStream::connect(upstream) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                        let gate = Arc::clone(&own);
                        std::thread::spawn(move || pass_on(from, to, &gate));
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

    /// Waits until something may pass, and lets it pass before anybody can fall silent again.
    fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = self.changed.wait_while(silent, |silent| *silent).unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    // As fast as without a proxy: small messages must not wait for company.
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
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
