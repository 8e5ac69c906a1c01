// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The devices that follow from attachments: one loop device per (object, client), so that an open device
//! number tells both; placed in the client's device root.

pub mod losetup;
pub mod nodes;
pub mod openers;
pub mod sync;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use nodes::{Placement, report};

/// How long we wait for udev (and its like) to take its eyes off a device.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// What a device has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Where it stands.
    pub placement: Placement,
    /// Its content.
    pub file: PathBuf,
    /// Bytes.
    pub size: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// It can never be written: a snapshot.
    pub snapshot: bool,
}

/// A device that is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// `/dev/loopN`
    pub node: PathBuf,
    /// Its device number.
    pub rdev: u64,
    /// What it is.
    pub is: Wanted,
    /// Node and links are in place.
    pub placed: bool,
}

/// The state of one (object, client).
#[derive(Debug, Clone)]
pub enum Slot {
    /// Somebody works on it.
    Busy,
    /// There it is.
    Here(Device),
    /// It could not be made like this.
    Failed(Wanted),
}

impl Device {
    /// Makes the device.
    pub fn make(wanted: Wanted) -> Slot {
        match Self::try_make(&wanted) {
            Ok(device) => Slot::Here(device),
            Err(error) => {
                crate::say(&format!("no device for {}: {error}", wanted.file.display()));
                Slot::Failed(wanted)
            }
        }
    }

    fn try_make(wanted: &Wanted) -> io::Result<Self> {
        let node = losetup::attach(&wanted.file, wanted.snapshot)?;
        let finish = || {
            let rdev = fs::metadata(&node)?.rdev();
            // The kernel keeps this flag from the device's former life.
            if losetup::is_read_only(&node) != wanted.read_only {
                losetup::set_read_only(&node, wanted.read_only)?;
            }
            wanted.placement.place(rdev)?;
            io::Result::Ok(rdev)
        };
        match finish() {
            Ok(rdev) => Ok(Self {
                node,
                rdev,
                is: wanted.clone(),
                placed: true,
            }),
            Err(error) => {
                report("detach", &node, losetup::detach(&node, &wanted.file));
                Err(error)
            }
        }
    }

    /// Turns the device into what is wanted now; it may be open.
    pub fn change(mut self, wanted: Wanted) -> Slot {
        if self.is.file != wanted.file {
            self.remove();
            return Self::make(wanted);
        }
        if self.is.size != wanted.size {
            report("resize", &self.node, losetup::take_size(&self.node));
        }
        if self.is.read_only != wanted.read_only {
            report(
                "change",
                &self.node,
                losetup::set_read_only(&self.node, wanted.read_only),
            );
        }
        self.is.placement.withdraw_beyond(&wanted.placement, self.rdev);
        self.is = wanted;
        report(
            "place",
            &self.is.placement.root,
            self.is.placement.place(self.rdev),
        );
        // Also when that failed: it is tried again when the root is set anew, not for ever.
        self.placed = true;
        Slot::Here(self)
    }

    /// Takes the device away. `false`: somebody has it open, and it lives on until it is closed.
    pub fn remove(&self) -> bool {
        self.is.placement.withdraw(self.rdev);
        if !self.lives() {
            return true;
        }
        if self.is.read_only && !self.is.snapshot {
            // Whoever gets this device next should not inherit it.
            report("change", &self.node, losetup::set_read_only(&self.node, false));
        }
        report("detach", &self.node, losetup::detach(&self.node, &self.is.file));
        let end = Instant::now() + PROBE_PATIENCE;
        while self.lives() && openers::only_probes(&BTreeSet::from([self.rdev])) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        !self.lives()
    }

    /// Whether the loop device still is ours.
    pub fn lives(&self) -> bool {
        losetup::backing_file(&self.node).as_deref() == Some(self.is.file.as_path())
    }
}
