//! What the build and the tests need besides cargo: found, installed, or named with the command that would install it.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail};

use crate::obtain::{self, Binaries};
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";

/// Policies are compiled for wasm: adds the target if it is missing.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    if has_wasm_target()? {
        return Ok(());
    }
    let by_hand = format!("rustup target add {TARGET}");
    eprintln!("the target {TARGET} is missing, policies are built for it: {by_hand}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{by_hand}` failed ({status})"),
        Err(error) => bail!(
            "`rustup` did not start ({error}). Where Rust comes from a package manager, install its standard \
             library for {TARGET} (Debian: apt-get install libstd-rust-dev-wasm32), or use https://rustup.rs"
        ),
    }
}

/// Asks the compiler rather than rustup: Rust need not come from rustup.
fn has_wasm_target() -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("cannot run rustc; https://rustup.rs installs it")?;
    let folder = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

/// The tests talk to a real API server: finds etcd and kube-apiserver, or builds them.
pub(crate) fn ensure_apiserver(workspace: &Workspace) -> Result<Binaries> {
    let module = workspace.path("tests/apiserver");
    obtain::obtain(&module).map_err(|error| {
        if env::var_os("KUBEBUILDER_ASSETS").is_some() || has_go() {
            return anyhow!(error);
        }
        anyhow!("{error}\nThis installs Go:\n  {}", install_go(&module))
    })
}

fn has_go() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}

fn install_go(module: &Path) -> String {
    let go_mod = fs::read_to_string(module.join("go.mod")).unwrap_or_default();
    let version = go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1.26.0");
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "curl -fsSL https://go.dev/dl/go{version}.linux-{arch}.tar.gz | sudo tar -C /usr/local -xz \
         && export PATH=$PATH:/usr/local/go/bin"
    )
}
