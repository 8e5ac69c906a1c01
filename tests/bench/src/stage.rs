// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Where the hook runs: the paths it has fixed, in a mount namespace of our own, so that nothing of the machine is
//! read or changed. What the machine's other programs see stays as it is.
//!
//! | path | what is there |
//! |---|---|
//! | `/etc` | memory: `storpool.conf` and the loader's cache |
//! | `/run`, `/var/lib` | memory: locks, claims; a journal socket that throws records away |
//! | `/dev` | memory: the usual nodes, the loop devices, `storpool` and `storpool-byid` |

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::api::Api;
use crate::call;
use crate::disks::{self, Links, Loop};
use crate::domain::Domain;

/// The hook's state.
const STATE: &str = "/var/lib/spvirt";
/// Device nodes that programs expect: name, major, minor.
const NODES: [(&str, u64, u64); 5] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
];

/// The hook and everything around it.
#[derive(Debug)]
pub struct Stage {
    /// The program.
    pub hook: PathBuf,
    /// The API it talks to.
    pub api: Api,
    disk: PathBuf,
    _devices: Vec<Loop>,
}

impl Stage {
    /// Builds the stage. Must run while there is only one thread.
    pub fn enter(hook: PathBuf) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "needs root: a mount namespace and loop devices"
        );
        // A folder on a real disk, for the time of fsync: beside the hook, wherever that was built.
        let disk = hook.with_file_name("spvirt-bench-state");
        let _ = fs::remove_dir_all(&disk);
        fs::create_dir(&disk).expect("a folder beside the hook");
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace of our own");
        bind("none", Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC);
        let libraries = fs::read("/etc/ld.so.cache").expect("the loader's cache");
        memory("/etc");
        memory("/run");
        memory("/var/lib");
        fs::write("/etc/ld.so.cache", libraries).expect("our own /etc");
        journal();
        let devices = disks::make(Path::new("/run/volume"));
        own_dev(&devices);
        let api = Api::start(Links::new(&devices));
        configure(api.port());
        Self {
            hook,
            api,
            disk,
            _devices: devices,
        }
    }

    /// Puts the hook's state on a real disk until `measure` returns.
    pub fn with_state_on_disk(&self, measure: impl FnOnce()) {
        fs::create_dir_all(STATE).expect("the state folder");
        bind(&self.disk, Path::new(STATE), MsFlags::MS_BIND);
        measure();
        umount2(STATE, MntFlags::MNT_DETACH).expect("what we mounted");
    }

    /// Runs `release` for a domain and sees that nothing of it is left.
    pub fn release(&self, domain: &Domain) {
        call::timed(&self.hook, &domain.release(), &domain.xml);
    }

    /// Whether no volume is attached and no claim left: a bench that leaves something behind measures the wrong thing.
    pub fn assert_clean(&self) {
        assert!(!self.api.any_attached(), "a volume is still attached");
        let claims = Path::new(STATE).join("claims");
        let left: Vec<_> = fs::read_dir(claims)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(left.is_empty(), "claims are left: {left:?}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.disk);
    }
}

fn bind(source: impl AsRef<Path>, target: &Path, flags: MsFlags) {
    let none = None::<&str>;
    mount(Some(source.as_ref()), target, none, flags, none)
        .unwrap_or_else(|error| panic!("mount {}: {error}", target.display()));
}

fn memory(target: &str) {
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )
    .unwrap_or_else(|error| panic!("memory at {target}: {error}"));
}

fn own_dev(devices: &[Loop]) {
    memory("/dev");
    let node = |path: &Path, kind, number| {
        mknod(path, kind, Mode::from_bits_truncate(0o666), number).expect("a node in our own /dev");
    };
    for (name, major, minor) in NODES {
        node(
            &Path::new("/dev").join(name),
            SFlag::S_IFCHR,
            makedev(major, minor),
        );
    }
    for device in devices {
        node(device.path(), SFlag::S_IFBLK, device.number());
    }
    disks::make_folders();
}

/// A journal: the hook's records cost what sending them costs, and go nowhere.
fn journal() {
    fs::create_dir_all("/run/systemd/journal").expect("our own /run");
    let socket = UnixDatagram::bind("/run/systemd/journal/socket").expect("our own /run");
    thread::spawn(move || {
        let mut record = [0; 4096];
        while socket.recv(&mut record).is_ok() {}
    });
}

fn configure(port: u16) {
    let host = nix::sys::utsname::uname().expect("uname");
    let host = host.nodename().to_string_lossy().into_owned();
    let text = format!(
        "# As the installer writes it.\n         SP_CLUSTER_NAME=bench\nSP_CLUSTER_ID=b.n\nSP_AUTH_TOKEN=1234567890123456789\n         SP_API_HTTP_HOST=127.0.0.1\nSP_API_HTTP_PORT={port}\n\n[{host}]\nSP_OURID=1\n"
    );
    fs::write("/etc/storpool.conf", text).expect("our own /etc");
}
