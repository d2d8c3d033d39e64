//! What a worker gives up before it sees the first byte of a stream: whoever takes it over by a hole in a decoder has a process
//! that can compute, and talk to the agent.
//!
//! System calls are let through by a list; any other fails with EPERM rather than ending the process, so that a library that
//! asks for something out of habit goes on as on an odd system, and no update of one stops all decoding. Files are kept away a
//! second time by Landlock, in case the kernel filters no calls. What the kernel does not do is told, and not an error: a
//! platform without it is watched all the same.

use std::{collections::BTreeMap, fs::File, os::unix::net::UnixDatagram};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetError, RulesetStatus,
    Scope,
};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{SigSet, Signal},
    },
    unistd::Pid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::decode::Confinement;

/// What decoding, memory, the channel and a panic need.
const CALLS: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Gives up what can be given up; `memory` is the most that may be had, in bytes. To be called before any thread is started.
///
/// # Errors
/// A limit that every kernel has cannot be set.
pub(super) fn confine(memory: u64) -> nix::Result<Confinement> {
    prctl::set_name(c"decode-worker")?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    // Whoever stops the agent by its group of processes leaves it its decoders until it ends.
    let stops = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    stops.into_iter().collect::<SigSet>().thread_block()?;
    // It takes a file descriptor, of which there can be no more from then on.
    let landlock = restrict_files().unwrap_or(false);
    let limits = [
        (Resource::RLIMIT_DATA, memory),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, most, most)?;
    }
    let filter = filter().ok();
    let seccomp = filter.is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok());
    let files = File::open("/").is_err();
    let network = UnixDatagram::unbound().is_err();
    Ok(Confinement { files, network, seccomp, landlock })
}

/// Keeps away all files, and of TCP and of other processes what this kernel can; says whether files are.
fn restrict_files() -> Result<bool, RulesetError> {
    let abi = ABI::V6;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?;
    Ok(ruleset.create()?.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let only = |argument, operation, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map(|rule| vec![rule])
    };
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let own = u64::from(Pid::this().as_raw().unsigned_abs());
    let mut rules: BTreeMap<i64, _> = CALLS.iter().map(|&call| (call, Vec::new())).collect();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, only(2, SeccompCmpOp::MaskedEq(executable), 0)?);
    }
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, own)?);
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let target = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, denied, SeccompAction::Allow, target)?.try_into()
}
