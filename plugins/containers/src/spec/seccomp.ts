/**
 * Docker's default seccomp profile (moby/profiles, `seccomp/default.json`), resolved for a container's capabilities. System calls that are
 * not listed fail with EPERM. Kernels before 4.8, where ptrace could bypass seccomp, are not supported. io_uring is not allowed, as in
 * Docker since 25.
 */

/** `linux.seccomp` of the runtime spec, as far as this engine's profiles use it. */
export interface OciSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}
export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly { readonly index: number; readonly value: number; readonly valueTwo?: number; readonly op: string }[];
}

const EPERM = 1;
const ENOSYS = 38;
/** AF_ALG, the kernel's crypto interface, has had vulnerabilities that allowed escapes; AF_VSOCK reaches the hypervisor. */
const [alg, vsock] = [38, 40];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: a process without CAP_SYS_ADMIN can't create namespaces. */
const cloneNamespaces = 0x7e020000;
/** PER_LINUX and PER_LINUX32, each with and without UNAME26; all ones only queries. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

const always = words(
  // Files and directories.
  `
    access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr
    flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents
    getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek
    lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64
    preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
    renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write
    writev`,
  // Processes, users and signals.
  `
    alarm capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self membarrier pause pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease
    process_vm_readv process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
    setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
    setsid setuid setuid32 sigaltstack sigprocmask sigreturn tgkill times tkill ugetrlimit uretprobe vfork wait4 waitid waitpid`,
  // Memory.
  `
    brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync
    munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages`,
  // Waiting, timers and clocks.
  `
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 fanotify_mark futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake gettimeofday inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
    io_submit nanosleep _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64`,
  // Sockets and interprocess communication.
  `
    accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl
    shmdt shmget shutdown socketcall socketpair`,
  // The system.
  `
    sysinfo uname`,
);

const byCapability: Readonly<Record<string, readonly string[]>> = {
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  CAP_SYS_ADMIN: words(`
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount
    mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`),
  CAP_SYS_BOOT: ["reboot"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_MODULE: ["delete_module", "init_module", "finit_module"],
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_PTRACE: ["kcmp", "pidfd_getfd", "process_madvise"],
  CAP_SYS_RAWIO: ["iopl", "ioperm"],
  CAP_SYS_TIME: ["settimeofday", "stime", "clock_settime", "clock_settime64"],
  CAP_SYS_TTY_CONFIG: ["vhangup"],
  CAP_SYS_NICE: ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
  CAP_SYSLOG: ["syslog"],
  CAP_BPF: ["bpf"],
  CAP_PERFMON: ["perf_event_open"],
};

interface Machine {
  readonly architectures: readonly string[];
  readonly names: readonly string[];
}
const machines: Readonly<Record<string, Machine>> = {
  x64: { architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], names: ["arch_prctl", "modify_ldt"] },
  arm64: {
    architectures: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    names: ["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"],
  },
};

/**
 * `capabilities` are the names of the bounding set (`CAP_…`); `machine` is Node's name for the processor. The same arguments give the same
 * profile, rule for rule.
 */
export function seccompFor(capabilities: readonly string[], machine: string = process.arch): OciSeccomp {
  const { architectures, names } = machines[machine] ?? { architectures: [], names: [] };
  const granted = Object.entries(byCapability).flatMap(([capability, calls]) => (capabilities.includes(capability) ? calls : []));
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures,
    syscalls: [
      { names: [...new Set([...always, ...names, ...granted])], action: "SCMP_ACT_ALLOW" },
      ...sockets,
      ...personalities.map((value) => ({
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      })),
      ...(capabilities.includes("CAP_SYS_ADMIN") ? [] : withoutNamespaces),
    ],
  };
}

/** All address families except AF_ALG and AF_VSOCK. */
const sockets: readonly SeccompRule[] = [
  { index: 0, value: alg, op: "SCMP_CMP_LT" },
  { index: 0, value: alg + 1, op: "SCMP_CMP_EQ" },
  { index: 0, value: vsock, op: "SCMP_CMP_GT" },
].map((argument) => ({ names: ["socket"], action: "SCMP_ACT_ALLOW", args: [argument] }));

/** clone3 passes its flags in memory, which no filter can read: ENOSYS makes every C library fall back to clone. */
const withoutNamespaces: readonly SeccompRule[] = [
  { names: ["clone"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: cloneNamespaces, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }] },
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
];

function words(...texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => text.trim().split(/\s+/));
}
