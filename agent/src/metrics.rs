//! Measuring the host. What its containers use is measured by the executor.
//!
//! Five small files of `/proc` and one call tell all there is, which costs less than a millisecond.

use std::path::{Path, PathBuf};

use chrono::Utc;
use towline_shared::metrics::{ContainerSample, HostSample, MAX_CONTAINERS, Sample};

/// Measures the host; keeps what the next measurement is compared with.
#[derive(Debug)]
pub struct Sampler {
    data: PathBuf,
    cpu: CpuTime,
}

/// Processor time since the boot, in the kernel's ticks, over all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTime {
    busy: u64,
    total: u64,
}

impl Sampler {
    /// A sampler; `data` is a path on the file system of the engine's data
    /// (`/var/lib/docker`). Where it does not exist, the nearest folder above it counts.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data
                .ancestors()
                .find(|path| path.exists())
                .unwrap_or(Path::new("/"))
                .to_owned(),
            cpu: cpu_time(&proc_file("stat")),
        }
    }

    /// A sample of this moment with the containers given; of too many, the most idle are left out.
    pub fn sample(&mut self, mut containers: Vec<ContainerSample>) -> Sample {
        if containers.len() > MAX_CONTAINERS {
            containers.sort_by(|one, other| other.cpu_percent.total_cmp(&one.cpu_percent));
            containers.truncate(MAX_CONTAINERS);
        }
        Sample {
            at_ms: Utc::now().timestamp_millis(),
            host: self.host(),
            containers,
        }
    }

    fn host(&mut self) -> HostSample {
        let cpu = cpu_time(&proc_file("stat"));
        let cpu_percent = share(self.cpu, cpu);
        self.cpu = cpu;
        let (memory_used, memory_total) = memory(&proc_file("meminfo"));
        let (disk_used, disk_total) = disk(&self.data);
        let (disk_read, disk_written) = block_io(&proc_file("diskstats"));
        let (net_received, net_sent) = network(&proc_file("net/dev"));
        HostSample {
            cpu_percent,
            cores: std::thread::available_parallelism()
                .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX)),
            load: load(&proc_file("loadavg")),
            memory_used,
            memory_total,
            disk_used,
            disk_total,
            disk_read,
            disk_written,
            net_received,
            net_sent,
        }
    }
}

/// A file of the kernel's; what it does not have counts as zero.
fn proc_file(name: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default()
}

/// The line `cpu  user nice system idle iowait irq softirq steal …`; waiting for a disk is idle, and
/// guest time is part of user time already.
fn cpu_time(stat: &str) -> CpuTime {
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .unwrap_or_default();
    let times: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .filter_map(|time| time.parse().ok())
        .collect();
    let total: u64 = times.iter().sum();
    let idle: u64 = times.iter().skip(3).take(2).sum();
    CpuTime {
        busy: total - idle,
        total,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a share in percent needs no more digits"
)]
fn share(before: CpuTime, now: CpuTime) -> f32 {
    let total = now.total.saturating_sub(before.total);
    if total == 0 {
        return 0.0;
    }
    (now.busy.saturating_sub(before.busy) as f64 / total as f64 * 100.0) as f32
}

fn load(loadavg: &str) -> [f32; 3] {
    let mut averages = loadavg
        .split_whitespace()
        .map(|average| average.parse().unwrap_or_default());
    [(); 3].map(|()| averages.next().unwrap_or_default())
}

/// Used and total bytes; what the kernel can give back at once is not used.
fn memory(meminfo: &str) -> (u64, u64) {
    let bytes = |name: &str| {
        let value = meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes =
            value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.unwrap_or_default() * 1024
    };
    let total = bytes("MemTotal");
    (total.saturating_sub(bytes("MemAvailable")), total)
}

/// Bytes received and sent on all interfaces but loopback.
fn network(dev: &str) -> (u64, u64) {
    let interfaces = dev
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo");
    interfaces.fold((0, 0), |(received, sent), (_, counters)| {
        let counters: Vec<u64> = counters
            .split_whitespace()
            .map(|counter| counter.parse().unwrap_or_default())
            .collect();
        let counter = |index: usize| counters.get(index).copied().unwrap_or_default();
        (received + counter(0), sent + counter(8))
    })
}

/// Used and total bytes of the file system of a path; what only root may use counts as used.
fn disk(path: &Path) -> (u64, u64) {
    let Ok(stat) = rustix::fs::statvfs(path) else {
        return (0, 0);
    };
    let total = stat.f_blocks * stat.f_frsize;
    (total.saturating_sub(stat.f_bavail * stat.f_frsize), total)
}

/// Bytes read and written by all whole disks; partitions and layers on top would count them twice.
fn block_io(diskstats: &str) -> (u64, u64) {
    const SECTOR: u64 = 512;
    let mut total = (0, 0);
    for line in diskstats.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, name, _, _, read, _, _, _, written, ..] = fields[..] else {
            continue;
        };
        if is_whole_disk(name) {
            total.0 += read.parse::<u64>().unwrap_or_default() * SECTOR;
            total.1 += written.parse::<u64>().unwrap_or_default() * SECTOR;
        }
    }
    total
}

/// `sda`, `vdb`, `xvda`, `nvme0n1`, `mmcblk0`; not `sda1`, `nvme0n1p2`, `dm-0`, `loop3`, `md127`.
fn is_whole_disk(name: &str) -> bool {
    if let Some(rest) = ["nvme", "mmcblk"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
    {
        return !rest.contains('p') && !rest.contains("boot");
    }
    let is_disk = ["sd", "vd", "xvd", "hd"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    is_disk && name.ends_with(|last: char| last.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_disks_are_counted() {
        let text = " 254 0 vda 10 0 100 5 20 0 200 6 0 0 0\n 254 1 vda1 9 0 90 5 19 0 190 6 0 0 0\n \
                    253 0 dm-0 1 0 9 9 9 0 9 9 0 0 0\n 259 0 nvme0n1 1 0 1 1 1 0 2 1 0 0 0\n 259 1 nvme0n1p1 1 0 1 1 1 0 2 1\n";
        assert_eq!(block_io(text), (101 * 512, 202 * 512));
        assert_eq!(block_io("nonsense\n"), (0, 0));
    }

    #[test]
    fn the_kernel_s_files_are_read() {
        let before = cpu_time("cpu  10 0 10 100 20 0 0 0 5 0\ncpu0 1 1 1 1\n");
        assert_eq!(
            before,
            CpuTime {
                busy: 20,
                total: 140
            }
        );
        let now = cpu_time("cpu  40 0 30 130 30 0 0 0 5 0\n");
        assert!((share(before, now) - 55.55).abs() < 0.1);
        assert!(share(now, now).abs() < f32::EPSILON);
        assert_eq!(
            format!("{:?}", load("0.50 1.25 2.00 1/200 99\n")),
            "[0.5, 1.25, 2.0]"
        );
        assert_eq!(
            memory("MemTotal: 10 kB\nMemFree: 1 kB\nMemAvailable:   4 kB\n"),
            (6 * 1024, 10 * 1024)
        );
        let dev = "Inter-| Receive |\n face |bytes packets\n    lo: 9 9 0 0 0 0 0 0 9 9\n  eth0: 5 1 0 0 0 0 0 0 7 1\n eth1:1 1 0 0 0 0 0 0 2 1\n";
        assert_eq!(network(dev), (6, 9));
    }

    #[test]
    fn this_host_is_measured() {
        let mut sampler = Sampler::new(Path::new("/var/lib/docker/that/is/not/there"));
        let sample = sampler.sample(Vec::new());
        let host = sample.host;
        assert!(host.cores > 0 && host.memory_total > host.memory_used && host.memory_used > 0);
        assert!(host.disk_total > 0 && host.disk_used <= host.disk_total);
        assert!((0.0..=100.0).contains(&host.cpu_percent));
    }

    #[test]
    fn the_most_idle_of_too_many_are_left_out() {
        let container = |number: u16| ContainerSample {
            name: number.to_string(),
            cpu_percent: f32::from(number),
            ..ContainerSample::default()
        };
        let many = (0..600).map(container).collect();
        let sample = Sampler::new(Path::new("/")).sample(many);
        assert_eq!(sample.containers.len(), MAX_CONTAINERS);
        assert!(
            sample
                .containers
                .iter()
                .all(|container| container.cpu_percent >= 100.0)
        );
    }
}
