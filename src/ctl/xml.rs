// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt xml`: prints elements that are ready for virsh.

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};

use spvirt::config::{Filter, Takeover};
use spvirt::domain::{Slot, Template};
use spvirt::persist;
use spvirt::volume::{BY_ID_DIR, BY_NAME_DIR, VolumeRef};

use crate::{Failure, Verdict};

/// Where a site puts templates of its own.
const OVERRIDES: &str = "/etc/spvirt/templates";
/// Longest template that is read.
const TEMPLATE_MAX: u64 = 1 << 20;

/// Which element.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  spvirt xml disk web1-data --target vdb > vdb.xml\n\n\
    A file of the same name in /etc/spvirt/templates, KIND.xml, takes the place\nof a template."
)]
pub struct Xml {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// A disk on a volume
    #[command(
        after_help = "Example:\n  spvirt xml disk web1-data --target vdb > vdb.xml\n  \
        virsh attach-device web1 vdb.xml --config"
    )]
    Disk {
        /// NAME, ~GLOBALID, a path below the StorPool folders or cinder:UUID
        #[arg(value_parser = crate::volume)]
        volume: VolumeRef,
        /// The guest's name of the disk
        #[arg(long, default_value = "vda")]
        target: String,
        /// What it is connected to
        #[arg(long, default_value = "virtio")]
        bus: String,
        /// Its serial number
        #[arg(long)]
        serial: Option<String>,
        /// The guest only reads
        #[arg(long)]
        readonly: bool,
        /// Other domains may write at the same time
        #[arg(long)]
        shareable: bool,
    },
    /// A CD-ROM drive, with a volume in it or empty
    #[command(after_help = "Example:\n  spvirt xml cdrom debian-12.iso > cd.xml")]
    Cdrom {
        /// NAME, ~GLOBALID, a path below the StorPool folders or cinder:UUID
        #[arg(value_parser = crate::volume)]
        volume: Option<VolumeRef>,
        /// The guest's name of the drive
        #[arg(long, default_value = "sda")]
        target: String,
        /// What it is connected to
        #[arg(long, default_value = "sata")]
        bus: String,
    },
    /// A storage pool that shows the volumes attached to this host
    #[command(after_help = "Example:\n  spvirt xml pool | virsh pool-define /dev/stdin")]
    Pool {
        /// Its name
        #[arg(default_value = "storpool")]
        name: String,
        /// By global id instead of by name
        #[arg(long)]
        by_id: bool,
    },
    /// What spvirt is told about one domain
    #[command(
        after_help = "Example:\n  virsh metadata web1 urn:spvirt:domain:1 --key spvirt \\\n    \
        --set \"$(spvirt xml metadata --takeover never)\" --config"
    )]
    Metadata {
        /// never, safe or always, instead of `SPVIRT_TAKEOVER`
        #[arg(long, value_parser = takeover)]
        takeover: Option<String>,
        /// yes or no: whether its volumes are attached by the hook
        #[arg(long, value_parser = ["yes", "no"])]
        manage: Option<String>,
        /// off, or some of tune, by-id, by-name, instead of `SPVIRT_FILTER`
        #[arg(long, value_parser = filter)]
        filter: Option<String>,
    },
}

fn takeover(text: &str) -> Result<String, String> {
    let known = Takeover::parse(text).map(|_| text.to_owned());
    known.ok_or_else(|| "must be never, safe or always".to_owned())
}

fn filter(text: &str) -> Result<String, String> {
    let known = Filter::parse(text).map(|_| text.to_owned());
    known.ok_or_else(|| "must be off, or some of tune, by-id, by-name (not both of the last two)".to_owned())
}

/// A kind of element: its template, and what has a place in it.
struct Pattern {
    name: &'static str,
    root: &'static str,
    own: &'static str,
    slots: &'static [Slot],
}

const fn slot(name: &'static str, required: bool) -> Slot {
    Slot { name, required }
}

const DISK: Pattern = Pattern {
    name: "disk",
    root: "disk",
    own: include_str!("../../xml-templates/disk.xml"),
    slots: &[
        slot("SOURCE", true),
        slot("TARGET", true),
        slot("BUS", true),
        slot("SERIAL", false),
        slot("READONLY", false),
        slot("SHAREABLE", false),
    ],
};

const CDROM: Pattern = Pattern {
    name: "cdrom",
    root: "disk",
    own: include_str!("../../xml-templates/cdrom.xml"),
    slots: &[slot("SOURCE", false), slot("TARGET", true), slot("BUS", true)],
};

const POOL: Pattern = Pattern {
    name: "pool",
    root: "pool",
    own: include_str!("../../xml-templates/pool.xml"),
    slots: &[slot("NAME", true), slot("FOLDER", true)],
};

const METADATA: Pattern = Pattern {
    name: "metadata",
    root: "domain",
    own: include_str!("../../xml-templates/metadata.xml"),
    slots: &[
        slot("TAKEOVER", false),
        slot("MANAGE", false),
        slot("FILTER", false),
    ],
};

/// Runs the command.
pub fn run(out: &mut impl Write, args: &Xml) -> Result<Verdict, Failure> {
    // A switch has a place without a value: it is there or it is not.
    let switch = |on: bool| on.then_some("");
    let text = match &args.kind {
        Kind::Disk {
            volume,
            target,
            bus,
            serial,
            readonly,
            shareable,
        } => DISK.fill(&[
            ("SOURCE", Some(&volume.path())),
            ("TARGET", Some(target)),
            ("BUS", Some(bus)),
            ("SERIAL", serial.as_deref()),
            ("READONLY", switch(*readonly)),
            ("SHAREABLE", switch(*shareable)),
        ])?,
        Kind::Cdrom { volume, target, bus } => CDROM.fill(&[
            ("SOURCE", volume.as_ref().map(VolumeRef::path).as_deref()),
            ("TARGET", Some(target)),
            ("BUS", Some(bus)),
        ])?,
        Kind::Pool { name, by_id } => POOL.fill(&[
            ("NAME", Some(name)),
            ("FOLDER", Some(if *by_id { BY_ID_DIR } else { BY_NAME_DIR })),
        ])?,
        Kind::Metadata {
            takeover,
            manage,
            filter,
        } => METADATA.fill(&[
            ("TAKEOVER", takeover.as_deref()),
            ("MANAGE", manage.as_deref()),
            ("FILTER", filter.as_deref()),
        ])?,
    };
    write!(out, "{text}")?;
    Ok(Verdict::Clean)
}

impl Pattern {
    fn fill(&self, values: &[(&str, Option<&str>)]) -> Result<String, Failure> {
        let path = Path::new(OVERRIDES).join(self.name).with_extension("xml");
        let site = if path.exists() {
            Some(persist::read_all(&path, TEMPLATE_MAX)?)
        } else {
            None
        };
        let shown = path.display();
        let text = match &site {
            None => self.own,
            Some(bytes) => {
                std::str::from_utf8(bytes).map_err(|_| Failure::Refused(format!("{shown}: not UTF-8")))?
            }
        };
        let template = Template::new(text, self.root, self.slots);
        let template = template.map_err(|error| Failure::Refused(format!("{shown}: {error}")))?;
        let filled = template.fill(values);
        filled.map_err(|error| Failure::Refused(format!("a value cannot stand in XML: {}", error.reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_that_come_along_are_in_order() {
        for pattern in [DISK, CDROM, POOL, METADATA] {
            let template = Template::new(pattern.own, pattern.root, pattern.slots);
            template.unwrap_or_else(|error| panic!("{}: {error}", pattern.name));
            for slot in pattern.slots {
                assert!(pattern.own.contains(&format!("@{}@", slot.name)), "{}", slot.name);
            }
        }
    }
}
