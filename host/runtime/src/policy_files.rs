//! The policy that the command line names: a component and its settings.

use std::path::{Path, PathBuf};

use sluice_kube::api::PolicyStatus;
use sluice_policy::{LoadError, Policy, PolicyHost, PolicyInfo, SourceError, read_file};

/// Where a policy comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PolicyFiles {
    /// A policy: a WebAssembly component [default: the built-in zone-spread]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Settings of the policy, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SourceError),
    /// The settings are no text.
    #[error("{}: settings are not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// The component or its settings are refused.
    #[error("policy {origin}: {error}")]
    Refused {
        /// The file, or `built-in`; and the file of its settings.
        origin: String,
        /// Why.
        error: LoadError,
    },
}

impl PolicyError {
    /// Whether the component is at fault, and not what was given along with it.
    pub(crate) fn is_about_the_component(&self) -> bool {
        use LoadError::{SettingsInvalid, SettingsTooLarge};
        matches!(self, Self::Refused { error, .. } if !matches!(error, SettingsInvalid { .. } | SettingsTooLarge { .. }))
    }

    /// Whether the same files may be loaded at another time.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::NotText(_) => false,
            Self::Refused { error, .. } => !error.is_reproducible(),
        }
    }
}

impl PolicyFiles {
    /// Whether the built-in policy is meant, as it is.
    pub(crate) fn are_none(&self) -> bool {
        self.files().next().is_none()
    }

    /// Reads, compiles and asks the policy. Blocks for as long as compiling takes.
    pub(crate) fn load(&self, host: &PolicyHost) -> Result<Policy, PolicyError> {
        let settings = match &self.settings {
            Some(path) => read_text(path, host.limits().settings_bytes)?,
            None => String::new(),
        };
        let loaded = match &self.policy {
            Some(path) => host.load(&read_file(path, host.limits().component_bytes)?, &settings),
            None => host.load(sluice_builtin_policies::ZONE_SPREAD, &settings),
        };
        loaded.map_err(|error| PolicyError::Refused { origin: self.origin(), error })
    }

    /// What is watched for changes.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.policy.iter().chain(&self.settings).map(PathBuf::as_path)
    }

    fn origin(&self) -> String {
        let policy = self.policy.as_ref().map_or_else(|| "built-in".to_owned(), |path| path.display().to_string());
        match &self.settings {
            Some(settings) => format!("{policy} with settings {}", settings.display()),
            None => policy,
        }
    }
}

/// What a policy is called where it is told of.
pub(crate) fn named(info: &PolicyInfo) -> PolicyStatus {
    PolicyStatus { name: info.name.clone(), version: info.version.clone(), digest: info.digest.clone() }
}

fn read_text(path: &Path, limit: usize) -> Result<String, PolicyError> {
    String::from_utf8(read_file(path, limit)?).map_err(|_| PolicyError::NotText(path.to_owned()))
}
