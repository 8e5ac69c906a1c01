// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The running simulator: the cluster's state, the devices, and everything shared between connections.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::cluster::reassign::Place;
use crate::cluster::snapshots::Now;
use crate::devices::{Device, Slot, losetup};
use crate::faults::Faults;
use crate::monitor::Violations;
use crate::request_log::RequestLog;
use crate::switches::Switches;

/// Which synthetic attachments: how many, with cluster, with global id.
pub type FillForm = (u32, bool, bool);

/// What the lock protects.
pub struct Core {
    /// The configuration.
    pub cluster: Cluster,
    /// Answers to the open questions.
    pub switches: Switches,
    /// Devices.
    pub slots: BTreeMap<Place, Slot>,
    /// Devices detached by force and still open.
    pub cut: Vec<(Place, Device)>,
    /// No new devices: we are about to exit.
    pub closing: bool,
}

/// The running simulator.
pub struct Sim {
    core: Mutex<Core>,
    /// Something in the core has changed.
    pub changed: Condvar,
    /// Scripted faults.
    pub faults: Faults,
    /// Every request.
    pub log: RequestLog,
    /// Volumes open for writing at two clients.
    pub violations: Violations,
    /// Delay of every reply, in ms.
    pub latency_ms: AtomicU64,
    /// Text of the synthetic attachments.
    pub fill: Mutex<Option<(FillForm, Arc<str>)>>,
    /// Token that callers must bring; none: all are welcome.
    pub token: Option<String>,
    /// When this process started.
    pub started: Now,
    dir: PathBuf,
    _only: File,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    cluster: Cluster,
    switches: Switches,
}

impl Sim {
    /// Opens the state folder, frees what a killed predecessor left, and restores the state without devices.
    pub fn open(dir: &Path, new: Cluster, token: Option<String>, log: RequestLog) -> io::Result<Self> {
        fs::create_dir_all(dir.join("volumes"))?;
        let dir = fs::canonicalize(dir)?;
        File::create(dir.join("volumes/empty.img"))?;
        let only = File::create(dir.join("lock"))?;
        only.try_lock()
            .map_err(|e| io::Error::other(format!("{} is in use: {e}", dir.display())))?;
        sweep(&dir);
        let stored = match fs::read(dir.join("state.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Stored {
                cluster: new,
                switches: Switches::default(),
            },
            Err(e) => return Err(e),
        };
        let core = Core {
            cluster: stored.cluster,
            switches: stored.switches,
            slots: BTreeMap::new(),
            cut: Vec::new(),
            closing: false,
        };
        Ok(Self {
            core: Mutex::new(core),
            changed: Condvar::new(),
            faults: Faults::default(),
            log,
            violations: Violations::default(),
            latency_ms: AtomicU64::new(0),
            fill: Mutex::new(None),
            token,
            started: Now::read(),
            dir,
            _only: only,
        })
    }

    /// The core, locked.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delay of every reply, in ms.
    pub fn latency(&self) -> u64 {
        self.latency_ms.load(Ordering::Relaxed)
    }

    /// The file that holds an object's content.
    pub fn file(&self, object: u64) -> PathBuf {
        self.dir.join("volumes").join(format!("{object}.img"))
    }

    /// A file without content, for devices that are not ready yet.
    pub fn empty_file(&self) -> PathBuf {
        self.dir.join("volumes/empty.img")
    }

    /// Writes the configuration to disk.
    pub fn save(&self, core: &Core) {
        let stored = Stored {
            cluster: core.cluster.clone(),
            switches: core.switches.clone(),
        };
        self.replace("state.json", &stored);
    }

    /// Writes the devices to disk.
    pub fn save_devices(&self, core: &Core) {
        let here = core.slots.values().filter_map(|slot| match slot {
            Slot::Here(device) => Some(device),
            _ => None,
        });
        let devices: Vec<&Device> = here.chain(core.cut.iter().map(|(_, device)| device)).collect();
        self.replace("devices.json", &devices);
    }

    fn replace(&self, name: &str, value: &impl Serialize) {
        let target = self.dir.join(name);
        let temporary = self.dir.join(format!("{name}.new"));
        let written = serde_json::to_vec(value)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &target));
        crate::devices::nodes::report("write", &target, written);
    }

    /// Sets the length of an object's file.
    pub fn set_length(&self, object: u64, size: u64) -> io::Result<()> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.file(object))?;
        file.set_len(size)
    }

    /// Makes the content of `to` that of `from`, in place, and its length `size`.
    pub fn copy(&self, core: &Core, from: u64, to: u64, size: u64) -> io::Result<()> {
        for ((object, _), slot) in &core.slots {
            if let Slot::Here(device) = slot
                && *object == from
                && !device.is.read_only
            {
                losetup::flush(&device.node)?;
            }
        }
        let status = Command::new("cp")
            .args(["--sparse=always", "--reflink=auto", "--"])
            .args([self.file(from), self.file(to)])
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cp: {status}")));
        }
        self.set_length(to, size)
    }

    /// Removes an object's file.
    pub fn discard(&self, object: u64) {
        let file = self.file(object);
        crate::devices::nodes::report("remove", &file, fs::remove_file(&file));
    }

    /// Bytes an object occupies on disk.
    pub fn stored(&self, object: u64) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.file(object)).map_or(0, |m| m.blocks() * 512)
    }

    /// Removes what is due, such as deleted snapshots.
    pub fn collect(&self) {
        let mut core = self.lock();
        let gone = core.cluster.collect(Now::read());
        for object in &gone {
            self.discard(*object);
        }
        if !gone.is_empty() {
            self.save(&core);
        }
    }

    /// Makes the devices of all clients.
    pub fn restore(self: &Arc<Self>) {
        let clients: Vec<u16> = {
            let mut core = self.lock();
            let generation = core.cluster.generation;
            for client in core.cluster.clients.values_mut().filter(|c| c.up) {
                client.synced = generation;
            }
            core.cluster.clients.keys().copied().collect()
        };
        for client in clients {
            self.sync_client(client);
        }
    }

    /// Takes every device away and leaves the state on disk.
    pub fn close(&self) {
        let mut core = self.lock();
        core.closing = true;
        let every: BTreeSet<u64> = core.cluster.objects.keys().copied().collect();
        let mut core = self.settled(core, &every);
        for (_, slot) in std::mem::take(&mut core.slots) {
            if let Slot::Here(device) = slot {
                device.remove();
            }
        }
        for (_, device) in &core.cut {
            device.remove();
        }
        self.save(&core);
        self.save_devices(&core);
    }

    /// Waits until the core changes, `until` at the latest.
    pub fn wait_change<'a>(
        &'a self,
        core: MutexGuard<'a, Core>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Core> {
        match until {
            None => self.changed.wait(core).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                self.changed
                    .wait_timeout(core, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }
}

/// Frees the devices of a predecessor that was killed. A loop device is ours if its file lies in our folder.
fn sweep(dir: &Path) {
    let left: Vec<Device> = fs::read(dir.join("devices.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    for device in left.iter().filter(|device| device.lives()) {
        device.remove();
    }
    for (node, file) in losetup::within(&dir.join("volumes")) {
        crate::devices::nodes::report("detach", &node, losetup::detach(&node, &file));
    }
}
