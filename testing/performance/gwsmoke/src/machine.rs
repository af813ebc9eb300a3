//! Which machine this is, as far as it decides whether two results may be compared.
//!
//! What makes figures differ by itself is looked at: the architecture, the processor's name, how
//! many of its cores may be used, memory in GiB, and the kernel's major and minor release. A patch
//! of a kernel changes neither scheduler nor network and comes every week; a baseline that died of
//! it would be one that nobody has. The host's name or a disk's do not matter here.
//!
//! What the system does not tell is [`UNKNOWN`] or 0, and such a machine is like no other: two
//! that are unknown need not be the same.

use crate::result::Machine;

/// Stands for what the system did not tell.
pub const UNKNOWN: &str = "unknown";

/// Hex digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// What of `/proc/cpuinfo` names a processor. No system has all of them: aarch64 tells implementer
/// and part where others have a name, and what a virtual machine is given for a name is often that
/// of several generations, which family and model tell apart.
const NAMES: [&str; 8] = [
    "model name",
    "cpu model",
    "cpu",
    "uarch",
    "cpu family",
    "model",
    "CPU implementer",
    "CPU part",
];

/// What the system tells, as it tells it.
#[derive(Clone, Copy, Debug)]
struct Told<'a> {
    arch: &'a str,
    cpuinfo: &'a str,
    cores: usize,
    meminfo: &'a str,
    osrelease: &'a str,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        // What cannot be read is not told.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::of(Told {
            arch: std::env::consts::ARCH,
            cpuinfo: &read("/proc/cpuinfo"),
            // Knows of affinity and of the quota of a container.
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            meminfo: &read("/proc/meminfo"),
            osrelease: &read("/proc/sys/kernel/osrelease"),
        })
    }

    fn of(told: Told<'_>) -> Self {
        let mut machine = Self {
            arch: told.arch.to_owned(),
            cpu: cpu(told.cpuinfo),
            cores: u32::try_from(told.cores).unwrap_or(u32::MAX),
            memory_gib: memory_gib(told.meminfo),
            kernel: kernel(told.osrelease),
            fingerprint: String::new(),
        };
        machine.fingerprint = machine.print();
        machine
    }

    /// The fingerprint that belongs to the fields.
    fn print(&self) -> String {
        let (cores, memory) = (self.cores.to_string(), self.memory_gib.to_string());
        let fields = [&self.arch, &self.cpu, &cores, &memory, &self.kernel];
        let mut hasher = blake3::Hasher::new();
        for field in fields {
            // The length keeps fields apart, whatever is in them.
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.finalize().to_hex()[..FINGERPRINT_DIGITS].to_owned()
    }

    /// What keeps a figure of the other from being compared with one of this: a line for each
    /// field. Empty if they are the same kind of machine.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = [
            ("arch", self.arch.clone(), other.arch.clone()),
            ("cpu", self.cpu.clone(), other.cpu.clone()),
            ("cores", self.cores.to_string(), other.cores.to_string()),
            (
                "memory_gib",
                self.memory_gib.to_string(),
                other.memory_gib.to_string(),
            ),
            ("kernel", self.kernel.clone(), other.kernel.clone()),
            (
                "fingerprint",
                self.fingerprint.clone(),
                other.fingerprint.clone(),
            ),
        ];
        let differ = pairs.iter().filter(|(_, this, other)| this != other);
        let mut lines: Vec<String> = differ
            .map(|(field, this, other)| format!("{field}: {this}, and {other}"))
            .collect();
        if lines.is_empty() && !self.is_known() {
            lines.push("the machine is not known well enough to be the same as another".to_owned());
        }
        lines
    }

    /// Whether the system told everything.
    fn is_known(&self) -> bool {
        let texts = [&self.arch, &self.cpu, &self.kernel];
        let told = texts
            .iter()
            .all(|text| !text.is_empty() && *text != UNKNOWN);
        told && self.cores > 0 && self.memory_gib > 0
    }
}

/// The processor's name; of several kinds in one machine, each once, in order.
fn cpu(cpuinfo: &str) -> String {
    let values = |key: &str| -> Vec<&str> {
        let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let of_key = lines.filter(|(name, value)| name.trim() == key && !value.trim().is_empty());
        let mut values: Vec<&str> = of_key.map(|(_, value)| value.trim()).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let told: Vec<String> = NAMES
        .iter()
        .map(|key| (key, values(key)))
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| match *key {
            "model name" => values.join(" "),
            key => format!("{} {}", key.trim_start_matches("CPU "), values.join(" ")),
        })
        .collect();
    if told.is_empty() {
        UNKNOWN.to_owned()
    } else {
        told.join(", ")
    }
}

/// `MemTotal` in whole GiB, rounded up: a system takes some of its memory for itself before it
/// counts, so a machine of 24 GiB tells a little less, and how much less changes.
fn memory_gib(meminfo: &str) -> u64 {
    const KIB_PER_GIB: u64 = 1 << 20;
    let lines = meminfo.lines().filter_map(|line| line.split_once(':'));
    let mut of_key = lines.filter(|(name, _)| *name == "MemTotal");
    let kib = of_key.next().and_then(|(_, value)| {
        let mut words = value.split_whitespace();
        words.next()?.parse::<u64>().ok()
    });
    kib.unwrap_or(0).div_ceil(KIB_PER_GIB)
}

/// Major and minor of a release such as `6.18.44-fc`.
fn kernel(osrelease: &str) -> String {
    let mut numbers = osrelease.trim().split('.').map(|part| {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        &part[..end]
    });
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if !major.is_empty() && !minor.is_empty() => {
            format!("{major}.{minor}")
        }
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n\
                       model name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
    const ARM: &str = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n\
                       CPU architecture: 8\nCPU part\t: 0xd0c\n\nprocessor\t: 1\n\
                       CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";

    fn told<'a>() -> Told<'a> {
        Told {
            arch: "x86_64",
            cpuinfo: X86,
            cores: 2,
            meminfo: "MemTotal:       24684092 kB\nMemFree:         1 kB\n",
            osrelease: "6.18.44-fc-v657\n",
        }
    }

    #[test]
    fn what_the_system_tells_becomes_a_machine() {
        let machine = Machine::of(told());
        assert_eq!(machine.cpu, "AMD EPYC, cpu family 25, model 1");
        assert_eq!(machine.cores, 2);
        assert_eq!(machine.memory_gib, 24);
        assert_eq!(machine.kernel, "6.18");
        assert_eq!(machine.fingerprint.len(), FINGERPRINT_DIGITS);
        assert!(machine.differences(&machine.clone()).is_empty());
    }

    #[test]
    fn a_processor_without_a_name_goes_by_its_parts() {
        assert_eq!(cpu(ARM), "implementer 0x41, part 0xd0c");
        let two_kinds = format!("{ARM}\nCPU implementer : 0x41\nCPU part : 0xd05\n");
        assert_eq!(cpu(&two_kinds), "implementer 0x41, part 0xd05 0xd0c");
        assert_eq!(cpu(""), UNKNOWN);
    }

    #[test]
    fn a_patch_of_the_kernel_is_the_same_machine_and_anything_else_is_another() {
        let machine = Machine::of(told());
        let same = [
            Told {
                osrelease: "6.18.50",
                ..told()
            },
            Told {
                meminfo: "MemTotal: 24684000 kB",
                ..told()
            },
        ];
        for told in same {
            assert!(machine.differences(&Machine::of(told)).is_empty());
        }
        let others = [
            (
                "arch",
                Told {
                    arch: "aarch64",
                    ..told()
                },
            ),
            (
                "cpu",
                Told {
                    cpuinfo: ARM,
                    ..told()
                },
            ),
            ("cores", Told { cores: 4, ..told() }),
            (
                "memory_gib",
                Told {
                    meminfo: "MemTotal: 8123456 kB",
                    ..told()
                },
            ),
            (
                "kernel",
                Told {
                    osrelease: "6.19.0",
                    ..told()
                },
            ),
        ];
        for (field, told) in others {
            let lines = machine.differences(&Machine::of(told));
            assert!(lines[0].starts_with(field), "{field}: {lines:?}");
            assert!(lines[1].starts_with("fingerprint"), "{field}: {lines:?}");
        }
    }

    /// Joined as they are, two machines could have one fingerprint.
    #[test]
    fn fields_do_not_run_into_each_other() {
        let (mut this, mut that) = (Machine::of(told()), Machine::of(told()));
        (this.arch, this.cpu) = ("a b".to_owned(), "c".to_owned());
        (that.arch, that.cpu) = ("a".to_owned(), "b c".to_owned());
        assert_ne!(this.print(), that.print());
    }

    #[test]
    fn what_is_not_known_is_the_same_as_nothing() {
        let nothing = Machine::of(Told {
            cpuinfo: "",
            cores: 0,
            meminfo: "",
            osrelease: "",
            ..told()
        });
        assert_eq!(nothing.memory_gib, 0);
        assert_eq!(nothing.kernel, UNKNOWN);
        assert_eq!(nothing.differences(&nothing.clone()).len(), 1);
    }

    #[test]
    fn little_memory_is_some() {
        assert_eq!(memory_gib("MemTotal: 262144 kB"), 1);
        assert_eq!(memory_gib("MemTotal: lots"), 0);
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::here();
        assert!(
            machine.differences(&Machine::here()).is_empty(),
            "{machine:?}"
        );
    }
}
