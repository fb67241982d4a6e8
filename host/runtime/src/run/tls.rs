//! A certificate in files that are replaced while we run, as OpenShift's service CA and cert-manager do.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

/// How often the files are looked at, at most: with the first connection after that.
const LOOK: Duration = Duration::from_secs(1);

/// A certificate and its key.
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    loaded: Mutex<Loaded>,
}

/// What the files had in them.
#[derive(Default)]
struct Loaded {
    looked: Option<Instant>,
    texts: Option<(Vec<u8>, Vec<u8>)>,
    /// From the last pair of files that made sense.
    acceptor: Option<TlsAcceptor>,
    /// What was wrong when they were looked at last.
    failure: Option<String>,
}

impl Certificate {
    pub(super) fn new(chain: PathBuf, key: PathBuf) -> Self {
        Self { chain, key, loaded: Mutex::default() }
    }

    /// What answers a connection; none: there is no certificate yet. A new pair of files that makes no sense, such as one
    /// of which half is written, leaves the old one in use.
    pub(super) async fn acceptor(&self) -> Option<TlsAcceptor> {
        let mut loaded = self.loaded.lock().await;
        if loaded.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            let read = self.read().await;
            loaded.looked = Some(Instant::now());
            loaded.take(read);
        }
        loaded.acceptor.clone()
    }

    async fn read(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let read = async |path: &Path| tokio::fs::read(path).await.map_err(|error| named(path, &error));
        Ok((read(&self.chain).await?, read(&self.key).await?))
    }
}

fn named(path: &Path, error: &impl Display) -> String {
    format!("{}: {error}", path.display())
}

impl Loaded {
    fn take(&mut self, read: Result<(Vec<u8>, Vec<u8>), String>) {
        let made = match read {
            Ok(texts) if self.texts.as_ref() == Some(&texts) => return,
            Ok(texts) => {
                let made = acceptor(&texts.0, &texts.1);
                self.texts = Some(texts);
                made
            }
            Err(failure) => Err(failure),
        };
        match made {
            Ok(acceptor) => {
                info!("metrics are served with a new certificate");
                (self.acceptor, self.failure) = (Some(acceptor), None);
            }
            Err(failure) => {
                if self.failure.as_ref() != Some(&failure) {
                    let old = self.acceptor.is_some();
                    warn!(reason = failure, old_one_in_use = old, "the certificate for metrics cannot be used");
                }
                self.failure = Some(failure);
            }
        }
    }
}

/// Reads PEM. That a key is another certificate's is found out here too.
fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|error| format!("--metrics-tls-cert-file: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("--metrics-tls-private-key-file: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| format!("certificate and key: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::Loaded;

    fn pair() -> (Vec<u8>, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes())
    }

    #[test]
    fn what_makes_no_sense_leaves_the_old_pair_in_use() {
        let mut loaded = Loaded::default();
        loaded.take(Err("no such file".to_owned()));
        assert!(loaded.acceptor.is_none());
        let (old, new) = (pair(), pair());
        loaded.take(Ok(old.clone()));
        assert!(loaded.acceptor.is_some() && loaded.failure.is_none());
        loaded.take(Ok((new.0.clone(), old.1)));
        assert!(loaded.failure.as_ref().unwrap().starts_with("certificate and key: "), "{:?}", loaded.failure);
        loaded.take(Ok((new.0.clone(), b"-----BEGIN".to_vec())));
        assert!(loaded.failure.as_ref().unwrap().starts_with("--metrics-tls-private-key-file: "));
        loaded.take(Ok((Vec::new(), new.1.clone())));
        assert!(loaded.failure.is_some() && loaded.acceptor.is_some());
        loaded.take(Ok(new));
        assert_eq!(loaded.failure, None);
    }
}
