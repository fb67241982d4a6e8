//! Finds kube-apiserver and etcd, or builds them from the Go module beside this file.
//!
//! Standard library only: the integration tests and `xtask` both include this file.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt};

/// Folder with the two programs, and what they are.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// Path of `etcd`.
    pub(crate) etcd: PathBuf,
    /// Path of `kube-apiserver`.
    pub(crate) apiserver: PathBuf,
}

/// Why the programs are not there. Its text says what to do.
#[derive(Debug)]
pub(crate) struct ObtainError(String);

impl fmt::Display for ObtainError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ObtainError {}

/// One program, as `go build` makes it.
struct Program {
    name: &'static str,
    package: &'static str,
    ldflags: String,
}

/// Finds both programs, in the order that README.md gives, and builds what is missing.
///
/// `module` is the folder of `go.mod`. Two callers at once are safe: one builds, the other waits.
pub(crate) fn obtain(module: &Path) -> Result<Binaries, ObtainError> {
    if let Some(assets) = env::var_os("KUBEBUILDER_ASSETS") {
        return in_folder(Path::new(&assets)).ok_or_else(|| {
            ObtainError(format!("KUBEBUILDER_ASSETS={} has no etcd and kube-apiserver", Path::new(&assets).display()))
        });
    }
    let versions = Versions::read(&module.join("go.mod"))?;
    let folder = cache_folder()?.join("apiserver").join(versions.folder());
    if let Some(found) = in_folder(&folder) {
        return Ok(found);
    }
    build_all(module, &versions, &folder).map_err(|error| match error {
        BuildError::Io(error) => ObtainError(format!("{}: {error}", folder.display())),
        BuildError::Go(text) => ObtainError(text),
    })?;
    in_folder(&folder).ok_or_else(|| ObtainError(format!("the build left nothing in {}", folder.display())))
}

fn in_folder(folder: &Path) -> Option<Binaries> {
    let found = Binaries { etcd: folder.join("etcd"), apiserver: folder.join("kube-apiserver") };
    (found.etcd.is_file() && found.apiserver.is_file()).then_some(found)
}

fn cache_folder() -> Result<PathBuf, ObtainError> {
    if let Some(folder) = env::var_os("SLUICE_CACHE") {
        return Ok(folder.into());
    }
    env::home_dir().map(|home| home.join(".cache/sluice")).ok_or_else(|| {
        ObtainError("no home directory: set SLUICE_CACHE to a folder for etcd and kube-apiserver".into())
    })
}

/// What `go.mod` asks for.
struct Versions {
    kubernetes: String,
    etcd: String,
}

impl Versions {
    fn read(go_mod: &Path) -> Result<Self, ObtainError> {
        let text = fs::read_to_string(go_mod).map_err(|error| ObtainError(format!("{}: {error}", go_mod.display())))?;
        let required = |module: &str| {
            text.lines()
                .filter(|line| !line.contains("=>"))
                .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
                .and_then(|rest| rest.split_whitespace().next())
                .map(String::from)
                .ok_or_else(|| ObtainError(format!("{} does not require {module}", go_mod.display())))
        };
        Ok(Self { kubernetes: required("k8s.io/kubernetes")?, etcd: required("go.etcd.io/etcd/server/v3")? })
    }

    fn folder(&self) -> String {
        format!("kube-apiserver-{}-etcd-{}", self.kubernetes, self.etcd)
    }

    /// The programs in build order. The API server tells clients the version it was linked with.
    fn programs(&self) -> [Program; 2] {
        let mut parts = self.kubernetes.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut ldflags = String::from("-s -w");
        for (variable, value) in [("gitVersion", self.kubernetes.as_str()), ("gitMajor", major), ("gitMinor", minor)] {
            let _ = write!(ldflags, " -X k8s.io/component-base/version.{variable}={value}");
        }
        [
            Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", ldflags },
            Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", ldflags: "-s -w".into() },
        ]
    }
}

enum BuildError {
    Io(io::Error),
    Go(String),
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn build_all(module: &Path, versions: &Versions, folder: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join(".lock"))?;
    if lock.try_lock().is_err() {
        say(&format!("another process is building etcd and kube-apiserver in {}: waiting", folder.display()));
        lock.lock()?;
    }
    for program in versions.programs() {
        if !folder.join(program.name).is_file() {
            build(module, &program, folder)?;
        }
    }
    Ok(())
}

fn build(module: &Path, program: &Program, folder: &Path) -> Result<(), BuildError> {
    let unfinished = folder.join(format!(".{}.new", program.name));
    let mut command = Command::new("go");
    command
        .current_dir(module)
        .args(["build", "-trimpath", "-ldflags", &program.ldflags, "-o"])
        .arg(&unfinished)
        .arg(program.package);
    let by_hand = format!(
        "cd {} && go build -trimpath -ldflags '{}' -o {} {}",
        module.display(),
        program.ldflags,
        folder.join(program.name).display(),
        program.package
    );
    say(&format!("building {} (once; some minutes): {by_hand}", program.name));
    let status = command.status().map_err(|error| {
        BuildError::Go(format!(
            "{} is not in {} and cannot be built: `go` did not start ({error}). Install Go 1.26, or set \
             KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver. The command was: {by_hand}",
            program.name,
            folder.display()
        ))
    })?;
    if !status.success() {
        return Err(BuildError::Go(format!("`go build` failed ({status}). The command was: {by_hand}")));
    }
    fs::rename(unfinished, folder.join(program.name))?;
    Ok(())
}

/// Straight to standard error: the test runner captures what `eprintln!` prints, and a build of minutes must not look hung.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
