//! Finds out where the old operator can be, so that nobody else stops our writes by a lock in its name.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt as _};
use kube::Client;
use sluice_kube::index::SharedIndex;
use sluice_kube::lock_rights::write_rights;
use sluice_kube::names;
use tokio::time::sleep;

use crate::unix_milliseconds;

/// How often to look whether an answer gets old. New locks ring.
const LOOK: Duration = Duration::from_secs(5);
/// Namespaces that are asked about at the same time.
const AT_ONCE: usize = 4;

/// What can be said about the old operator.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LockArgs {
    /// Where egressip-ipam-operator may be, so that its lock counts there; may be given several times. Elsewhere it counts if
    /// a service account of the namespace may patch NetNamespaces
    #[arg(long = "old-operator-namespace", value_name = "NAMESPACE", default_value = names::FOREIGN_NAMESPACE)]
    namespaces: Vec<String>,
}

impl LockArgs {
    /// Tells the index.
    pub(crate) fn tell(&self, index: &SharedIndex) {
        index.quietly(|index| index.expect_locks_in(self.namespaces.iter().cloned()));
    }
}

/// Asks about every namespace whose lock is held, again and again, for ever.
pub(super) async fn ask(client: Client, index: Arc<SharedIndex>) -> Infallible {
    let mut bell = index.subscribe();
    let mut asked = BTreeSet::new();
    let mut answers = FuturesUnordered::new();
    loop {
        bell.mark_unchanged();
        let due = index.read(|index| index.lock_questions(unix_milliseconds()));
        for namespace in due {
            if answers.len() < AT_ONCE && asked.insert(namespace.clone()) {
                answers.push(answer(&client, namespace));
            }
        }
        tokio::select! {
            Some((namespace, rights)) = answers.next(), if !answers.is_empty() => {
                asked.remove(&namespace);
                index.change(|index| index.note_write_rights(&namespace, rights));
            }
            // The sender is the index, which lives as long as this does.
            _ = bell.changed() => {}
            () = sleep(LOOK) => {}
        }
    }
}

/// Asks once about every namespace whose lock is held.
pub(crate) async fn ask_once(client: &Client, index: &SharedIndex) {
    let due = index.read(|index| index.lock_questions(unix_milliseconds()));
    let answers = stream::iter(due).map(|namespace| answer(client, namespace)).buffer_unordered(AT_ONCE);
    answers
        .for_each(async |(namespace, rights)| {
            index.change(|index| index.note_write_rights(&namespace, rights));
        })
        .await;
}

async fn answer(client: &Client, namespace: String) -> (String, sluice_kube::index::WriteRights) {
    let rights = write_rights(client, &namespace).await;
    (namespace, rights)
}
