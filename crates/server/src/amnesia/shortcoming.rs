//! Parts of amnesia that this system does not give, in words.

/// One part that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcoming {
    /// Nobody asked for it: a node within another program.
    NoSandbox,
    /// Too old a kernel.
    NoLandlock,
    /// Not among the security modules that were chosen when the system was booted.
    LandlockOff,
    /// The kernel has it and did not take the rules.
    LandlockRefused,
    /// Threads that were there before are not held to anything.
    Threads,
    /// Before ABI 3.
    Truncate,
    /// Before ABI 4.
    Tcp,
    /// Before ABI 5.
    Devices,
    /// Before ABI 6.
    Scopes,
    /// The limit of cores is not 0.
    CoreLimit,
    /// The kernel would dump this process, and let others of its user read its memory.
    Dumpable,
}

impl Shortcoming {
    /// For people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoSandbox => "landlock: not asked for; files and the network are not restricted",
            Self::NoLandlock => {
                "landlock: this kernel has none (Linux 5.13 and later do); files and the network \
                 are not restricted"
            }
            Self::LandlockOff => {
                "landlock: the kernel has it and it is off (boot with lsm=landlock,…); files and \
                 the network are not restricted"
            }
            Self::LandlockRefused => {
                "landlock: the kernel did not take the rules; files and the network are not \
                 restricted"
            }
            Self::Threads => {
                "landlock: the process was not known to have a single thread when it was \
                 restricted; others go on as they were"
            }
            Self::Truncate => {
                "landlock: truncating a file that may be opened is not denied (Linux 6.2 and \
                 later do)"
            }
            Self::Tcp => {
                "landlock: outgoing and new listening TCP is not denied (Linux 6.7 and later do)"
            }
            Self::Devices => {
                "landlock: commands to devices are not denied (Linux 6.10 and later do)"
            }
            Self::Scopes => {
                "landlock: signals to other processes and abstract sockets are not denied (Linux \
                 6.12 and later do)"
            }
            Self::CoreLimit => "cores: RLIMIT_CORE is not 0",
            Self::Dumpable => {
                "cores: PR_SET_DUMPABLE is not 0; processes of the same user may read this one's \
                 memory"
            }
        }
    }
}
