//! What the compile child must not do: it reads one pipe, writes another, and has no business elsewhere.
//!
//! The compiler works on foreign input, and what it makes is run by us. A component that finds a fault in it would
//! otherwise act with the pod's token and network.

use std::collections::BTreeMap;
use std::fs;
use std::process;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// The newest interface of Landlock that is used; older kernels enforce what they know of it. From 6.10 on it is all.
const LANDLOCK: ABI = ABI::V6;

/// Calls of a process that computes, with memory, threads and pipes that are open already.
const ALLOWED: [c_long; 31] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_membarrier,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// `PR_SET_VMA`: names memory, which newer C libraries do.
const NAME_MEMORY: u64 = 0x5356_4d41;

/// Takes from this thread, and from those that it starts, all that compiling does not need. Best effort: returns what
/// this kernel does not offer.
pub(crate) fn confine() -> Vec<String> {
    let mut missing = Vec::new();
    // Where memory runs out, the kernel ends this process and not its parent.
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "1000") {
        missing.push(format!("oom_score_adj: {error}"));
    }
    match no_files_and_networks() {
        Ok(RulesetStatus::FullyEnforced) => {}
        Ok(RulesetStatus::PartiallyEnforced) => missing.push("landlock: an old kernel knows only a part of it".into()),
        Ok(RulesetStatus::NotEnforced) => missing.push("landlock: not in this kernel".into()),
        Err(error) => missing.push(format!("landlock: {error}")),
    }
    if let Err(error) = only_allowed_calls() {
        missing.push(format!("seccomp: {error}"));
    }
    missing
}

/// Nothing is allowed, beneath no path and at no port; and no signal leaves this process.
fn no_files_and_networks() -> Result<RulesetStatus, RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?;
    Ok(ruleset.create()?.restrict_self()?.ruleset)
}

/// Every other call fails as if the kernel did not know it: libraries then do without.
fn only_allowed_calls() -> Result<(), seccompiler::Error> {
    let unknown = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or(1));
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules()?, unknown, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::Error> {
    let if_first = |operator, value| -> Result<SeccompRule, seccompiler::Error> {
        Ok(SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)?])?)
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    // Threads, and no processes: of `clone3` a filter cannot see which, and libraries fall back on `clone`.
    let thread = u64::try_from(libc::CLONE_THREAD).unwrap_or_default();
    rules.insert(libc::SYS_clone, vec![if_first(SeccompCmpOp::MaskedEq(thread), thread)?]);
    // To abort, and to signal nobody else.
    rules.insert(libc::SYS_tgkill, vec![if_first(SeccompCmpOp::Eq, u64::from(process::id()))?]);
    let set_name = u64::try_from(libc::PR_SET_NAME).unwrap_or_default();
    let names = vec![if_first(SeccompCmpOp::Eq, set_name)?, if_first(SeccompCmpOp::Eq, NAME_MEMORY)?];
    rules.insert(libc::SYS_prctl, names);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Not a test: this program, started again and confined.
    #[test]
    #[ignore = "the child of the test below"]
    fn confined() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(File::open("/proc/self/status").is_ok(), "it may, before");
        let behind_landlock = || (no_files_and_networks().unwrap(), File::open("/etc/hosts").err());
        let (status, failure) = thread::spawn(behind_landlock).join().unwrap();
        println!("landlock alone: {status:?} {failure:?}");
        let missing = confine();
        let open = |path: &str| File::open(path).err();
        for (what, failure) in [
            ("a file", open("/etc/hosts")),
            ("the token", open("/var/run/secrets/kubernetes.io/serviceaccount/token")),
            ("the parent's memory", open("/proc/1/mem")),
            ("to write", File::create("/tmp/sluice-confined").err()),
            ("a listener", TcpListener::bind("127.0.0.1:0").err()),
            ("a connection", TcpStream::connect(("127.0.0.1", port)).err()),
            ("a datagram", UdpSocket::bind("127.0.0.1:0").err()),
            ("a socket of the machine", UnixStream::pair().err()),
            ("another program", Command::new("/bin/true").spawn().err()),
        ] {
            println!("{what}: {}", failure.map_or_else(|| "ALLOWED".to_owned(), |error| error.to_string()));
        }
        println!("threads: {}", thread::spawn(|| 7).join().unwrap());
        println!("missing: {missing:?}");
    }

    #[test]
    fn a_confined_process_can_compute_and_nothing_else() {
        let args = ["--exact", "confine::tests::confined", "--ignored", "--nocapture"];
        let ran = Command::new(std::env::current_exe().unwrap()).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(text.matches("Function not implemented (os error 38)").count(), 9, "{text}");
        assert!(!text.contains("ALLOWED") && text.contains("threads: 7"), "{text}");
        let is_enforced = !text.contains("landlock alone: NotEnforced");
        assert_eq!(text.contains("PermissionDenied"), is_enforced, "{text}");
        // Which kernels offer all of it is not ours to say; this one's word is printed.
        println!("{text}");
    }
}
