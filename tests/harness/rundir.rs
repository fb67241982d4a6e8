//! Where a test run keeps its data and logs: `target/tmp/run-<pid>/`.
//!
//! Servers live until the test process ends, and nothing runs then that could remove their folders: so each run removes what
//! earlier runs left. A run holds a lock on `run-<pid>.lock` for as long as it lives.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Run {
    folder: PathBuf,
    _lock: File,
}

/// A new empty folder in this run's folder.
pub fn folder(name: &str) -> PathBuf {
    static RUN: OnceLock<Run> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let run = RUN.get_or_init(begin);
    let folder = run.folder.join(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder).expect("target/tmp is writable");
    folder
}

fn begin() -> Run {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).expect("target/tmp is writable");
    let name = format!("run-{}", std::process::id());
    let lock = File::create(all.join(format!("{name}.lock"))).expect("target/tmp is writable");
    lock.lock().expect("a new file can be locked");
    remove_ended_runs(all);
    let folder = all.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("target/tmp is writable");
    Run { folder, _lock: lock }
}

fn remove_ended_runs(all: &Path) {
    for entry in fs::read_dir(all).expect("target/tmp is readable").flatten() {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock")
            && entry.file_name().to_string_lossy().starts_with("run-");
        if is_lock && File::open(&path).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(path.with_extension(""));
            let _ = fs::remove_file(path);
        }
    }
}
