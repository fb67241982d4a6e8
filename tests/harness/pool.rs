//! The servers that scenarios share, one scenario at a time on each.
//!
//! Starting a server takes 3 s and 2 s of processor time; resetting a used one takes some 30 ms. So servers live as long as the
//! test process, and each scenario leases one. As many are started as test threads ask for at the same time (`RUST_TEST_THREADS`),
//! at most `SLUICE_TEST_SERVERS`. That must not be fewer than test threads times the clusters one scenario leases.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::server::Server;

struct Pool {
    permits: Semaphore,
    idle: Mutex<Vec<Server>>,
}

/// A server for one scenario; it goes back when dropped.
pub struct Lease {
    server: Option<Server>,
    _permit: SemaphorePermit<'static>,
}

impl Lease {
    /// Waits for a free server and resets it, or starts one.
    pub async fn take() -> Self {
        let pool = pool();
        let permit = pool.permits.acquire().await.expect("the semaphore is never closed");
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let usable = match idle {
            Some(server) if server.reset().await.is_ok() => Some(server),
            _ => None,
        };
        let server = match usable {
            Some(server) => server,
            None => Server::start().await,
        };
        Self { server: Some(server), _permit: permit }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("there until drop")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let server = self.server.take().expect("dropped once");
        if server.is_running() {
            pool().idle.lock().unwrap_or_else(PoisonError::into_inner).push(server);
        }
    }
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let servers = std::env::var("SLUICE_TEST_SERVERS").ok().and_then(|text| text.parse().ok());
        let servers = servers.unwrap_or_else(|| 2 * available_parallelism().map_or(2, usize::from)).max(1);
        Pool { permits: Semaphore::new(servers), idle: Mutex::new(Vec::new()) }
    })
}
