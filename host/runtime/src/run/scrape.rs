//! How `/metrics` is guarded: by TLS, and by asking for a token.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use axum::Router;
use axum::middleware::from_fn_with_state;
use clap::ValueEnum;
use kube::Client;

use super::authorization::Authorization;
use super::tls::Certificate;
use crate::cli::Listen;

/// Who may read metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Authorize {
    /// Whoever has a token that may get the path, except on a loopback address
    Auto,
    /// Whoever has such a token
    Always,
    /// Everybody
    #[default]
    Never,
}

/// What can be chosen about metrics.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ScrapeArgs {
    /// Serves /metrics over TLS with this certificate and what it is signed with, in PEM; a new one is used at once
    #[arg(long = "metrics-tls-cert-file", value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long = "metrics-tls-private-key-file", value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Whether whoever reads /metrics needs a token of the cluster that may get the non-resource URL /metrics
    #[arg(long = "metrics-authorization", value_enum, default_value_t, value_name = "WHEN")]
    authorize: Authorize,
}

impl ScrapeArgs {
    fn asks_for_tokens(&self, address: &Listen) -> bool {
        match self.authorize {
            Authorize::Auto => !address.is_loopback(),
            Authorize::Always => true,
            Authorize::Never => false,
        }
    }

    /// Whether they make sense together with the addresses.
    pub(crate) fn check(&self, metrics: &Listen, health: &Listen) -> Result<()> {
        let (tls, tokens) = (self.certificate.is_some(), self.asks_for_tokens(metrics));
        ensure!(
            metrics != health || !(tls || tokens),
            "--metrics-bind-address and --health-probe-bind-address are the same, but probes know neither certificates nor tokens: choose two"
        );
        ensure!(
            tls || !tokens || metrics.is_loopback(),
            "--metrics-authorization: tokens would be sent in the clear to {metrics}: give --metrics-tls-cert-file too"
        );
        Ok(())
    }

    /// What the connections are encrypted with, if they are.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        let (certificate, key) = self.certificate.clone().zip(self.key.clone())?;
        Some(Arc::new(Certificate::new(certificate, key)))
    }

    /// Asks for tokens before the routes are reached, if it is to.
    pub(super) fn guard(&self, address: &Listen, routes: Router, client: &Client) -> Router {
        if self.asks_for_tokens(address) {
            let authorization = Arc::new(Authorization::new(client.clone()));
            routes.layer(from_fn_with_state(authorization, Authorization::guard))
        } else {
            routes
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Authorize, ScrapeArgs};

    #[test]
    fn tokens_are_asked_for_where_others_can_reach_and_only_over_tls() {
        let check = |authorize, tls: bool, metrics: &str, health: &str| {
            let file = tls.then(|| PathBuf::from("tls.pem"));
            let args = ScrapeArgs { certificate: file.clone(), key: file, authorize };
            let (metrics, health) = (metrics.parse().unwrap(), health.parse().unwrap());
            args.check(&metrics, &health).map(|()| args.asks_for_tokens(&metrics)).map_err(|error| error.to_string())
        };
        assert_eq!(check(Authorize::Never, false, ":8080", ":8080"), Ok(false));
        assert_eq!(check(Authorize::Auto, true, ":8080", ":8081"), Ok(true));
        for loopback in ["127.0.0.1:8080", "[::1]:8080", "localhost:8080"] {
            assert_eq!(check(Authorize::Auto, false, loopback, ":8081"), Ok(false));
            assert_eq!(check(Authorize::Always, false, loopback, ":8081"), Ok(true));
        }
        assert!(check(Authorize::Auto, false, ":8080", ":8081").unwrap_err().contains("in the clear to :8080"));
        assert!(check(Authorize::Auto, false, "10.0.0.1:8080", ":8081").is_err());
        assert!(check(Authorize::Never, true, ":8080", ":8080").unwrap_err().contains("choose two"));
    }
}
