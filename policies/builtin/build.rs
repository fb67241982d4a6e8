//! Builds the policies that come with Sluice for wasm, and wraps each as a component.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// Packages, and the names of their components.
const POLICIES: [(&str, &str); 2] = [("sluice-zone-spread", "zone-spread"), ("sluice-pack", "pack")];

/// What the policies are made of, from the workspace's root: not their tests, scenarios and pages.
const SOURCES: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "wit",
    "policies/sdk/Cargo.toml",
    "policies/sdk/src",
    "policies/pack/Cargo.toml",
    "policies/pack/src",
    "allocator-wasm/Cargo.toml",
    "allocator-wasm/src",
];

/// Of the outer build's environment: flags for another target, wrappers such as clippy's driver, and the
/// outer target folder, whose lock the outer cargo holds while this runs.
const NOT_INHERITED: [&str; 6] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
];

fn main() -> Result<()> {
    let workspace = workspace()?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    if !has_target()? {
        println!("cargo::error=the target {TARGET} is missing: rustup target add {TARGET}");
        return Ok(());
    }
    for (package, name) in POLICIES {
        let module = build(&workspace, &out.join("wasm"), package)?;
        let component = wrap(&module).with_context(|| format!("cannot make {name} a component"))?;
        fs::write(out.join(name).with_extension("wasm"), component)?;
    }
    Ok(())
}

fn workspace() -> Result<PathBuf> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = package.ancestors().nth(2).context("not in the workspace")?;
    Ok(root.to_owned())
}

fn has_target() -> Result<bool> {
    let output = Command::new(env::var("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("cannot run rustc")?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

fn build(workspace: &Path, target: &Path, package: &str) -> Result<Vec<u8>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    // `cdylib` is asked for here only: in the manifest, next to `rlib`, it would switch LTO off.
    cargo
        .args(["rustc", "--quiet", "--locked", "--lib", "--crate-type", "cdylib"])
        .args(["--profile", "policy", "--target", TARGET, "-p", package])
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{package} cannot be built for {TARGET}: {status}");
    }
    let file = package.replace('-', "_");
    let module = target.join(TARGET).join("policy").join(file).with_extension("wasm");
    fs::read(&module).with_context(|| format!("cannot read {}", module.display()))
}

fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default().validate(true).module(module)?;
    encoder.encode()
}
