//! Where things are, and how cargo is called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, ensure};

/// The workspace that this command belongs to, wherever it was started.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // At run time: two checkouts may share a target folder, and then this binary.
        let package = env::var_os("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`")?;
        let root = Path::new(&package).parent().context("xtask is not in a folder of the workspace")?;
        Ok(Self { root: root.to_owned() })
    }

    /// A path from the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Cargo, as if it had been started by hand in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        // `cargo run` describes this package here. Build scripts that read such names (ring's does) would run
        // again, and all that depends on them be built again, at each change between cargo and xtask.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(describes_this_package) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Builds `sluice` and returns its path.
    pub(crate) fn build_sluice(&self, profile: &str) -> Result<PathBuf> {
        // With --workspace the features of dependencies are those of `cargo build`, so that both share all they build.
        let arguments = ["build", "--workspace", "--bin", "sluice", "--profile", profile];
        let status = self.cargo().args(arguments).status().context("cannot run cargo")?;
        ensure!(status.success(), "sluice does not build");
        // Each profile has a folder beside that of this binary, wherever the configuration puts them all.
        let own = env::current_exe()?;
        let folder = own.ancestors().nth(2).context("cargo builds into no folder")?;
        let binary = folder.join(if profile == "dev" { "debug" } else { profile }).join("sluice");
        ensure!(binary.is_file(), "cargo did not build {}", binary.display());
        Ok(binary)
    }
}

fn describes_this_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || matches!(name, "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH")
}

/// The exit code of a program that ran for the user; 1 if a signal ended it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
