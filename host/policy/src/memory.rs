//! How much memory compiling may take, by what this process may have.
//!
//! The compile child counts against the limit of the container. When that is met, the kernel may end all of its
//! processes, whichever took the memory (`memory.oom.group`, which the kubelet sets). So the child has to stay below it by
//! itself.

use std::fs;
use std::path::{Path, PathBuf};

/// Part of the container's memory that compiling may take: the rest is for planning, which goes on meanwhile.
const SHARE: u64 = 2;
/// The built-in policy needs 128 MiB to be compiled, and takes up to 195 where there is more.
pub(crate) const LEAST: u64 = 256 << 20;
/// Where nothing limits this process. The largest components take a tenth of it.
const MOST: u64 = 4 << 30;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Address space of the compile child.
pub(crate) fn for_compiling() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    share(limit(&groups, |path| fs::read_to_string(path).ok()))
}

fn share(limit: Option<u64>) -> u64 {
    limit.map_or(MOST, |limit| (limit / SHARE).clamp(LEAST, MOST))
}

/// The lowest limit of the control groups that this process is in; none: there is none. `groups` is `/proc/self/cgroup`.
fn limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let files = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => Some(files_of(Path::new(MOUNT), group, "memory.max")),
            list if list.split(',').any(|name| name == "memory") => {
                Some(files_of(&Path::new(MOUNT).join("memory"), group, "memory.limit_in_bytes"))
            }
            _ => None,
        }
    });
    files.flatten().filter_map(|path| read(&path)?.trim().parse().ok()).min()
}

/// The file of a group and of those around it. In a container the group's path may be the machine's, of which only the
/// end is mounted: as the root.
fn files_of(mount: &Path, group: &str, file: &str) -> Vec<PathBuf> {
    Path::new(group.trim_start_matches('/')).ancestors().map(|group| mount.join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let files: BTreeMap<&Path, &str> = files.iter().map(|&(path, text)| (Path::new(path), text)).collect();
        limit(groups, |path| files.get(path).map(ToString::to_string))
    }

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let root = ("/sys/fs/cgroup/memory.max", "2147483648\n");
        assert_eq!(found("0::/\n", &[root]), Some(2 << 30), "in a container");
        assert_eq!(found("0::/\n", &[("/sys/fs/cgroup/memory.max", "max\n")]), None);
        assert_eq!(found("0::/pods/a/b\n", &[root]), Some(2 << 30), "the path is the machine's");
        let nested = [("/sys/fs/cgroup/a/memory.max", "100"), ("/sys/fs/cgroup/a/b/memory.max", "200")];
        assert_eq!(found("0::/a/b\n", &nested), Some(100), "the one around it");
        let old = "5:devices:/x\n4:cpu,memory:/x/y\n0::/\n";
        let limits = [("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "300")];
        assert_eq!(found(old, &limits), Some(300), "version 1");
        assert_eq!(
            found(old, &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")]),
            Some(i64::MAX as u64 - 4095)
        );
        assert_eq!(found("nonsense\n\n:", &[root]), None);
    }

    #[test]
    fn compiling_gets_half_within_bounds() {
        assert_eq!(share(Some(2 << 30)), 1 << 30, "deploy/manager.yaml");
        assert_eq!(share(None), MOST);
        assert_eq!(share(Some(u64::MAX)), MOST);
        assert_eq!(share(Some(1)), LEAST, "it cannot do with less");
    }
}
