// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Two hosts on one cluster, and what cases do with the package on them.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use spvirt_rig::{Binaries, Cluster, Domain, Guest, Host, Output, System};

/// Environment: the folder with `roots/SUITE`, `older.deb` and `newer.deb`.
const FOLDER: &str = "SPVIRT_PACKAGE_FOLDER";
/// The link by which libvirt finds the hook.
pub const LINK: &str = "/etc/libvirt/hooks/qemu.d/50-storpool";
/// Where claims are.
pub const CLAIMS: &str = "/var/lib/spvirt/claims";
/// For what happens by itself, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(30);

/// A host that may go and come back.
pub struct Slot(Option<Host>);

impl Deref for Slot {
    type Target = Host;

    fn deref(&self) -> &Host {
        self.0.as_ref().expect("the host is on")
    }
}

/// Two clean hosts. The package is there as `/root/older.deb` and `/root/newer.deb`, the same programs in both.
pub struct Stage {
    /// The first host.
    pub a: Slot,
    /// Where domains migrate to.
    pub b: Slot,
    /// The cluster; derefs to the simulator.
    pub cluster: Cluster,
}

impl Stage {
    /// Boots both hosts.
    pub fn new(suite: &str, libvirt: &str) -> Self {
        let folder =
            PathBuf::from(std::env::var(FOLDER).expect("SPVIRT_PACKAGE_FOLDER: run `make package-test`"));
        let system = System::booted(&[folder.join("roots").join(suite)]);
        let mut cluster = Cluster::start(&Binaries::on(spvirt_rig::binary("storpool-sim"), system));
        let (a, b) = (cluster.host("hosta", 1), cluster.host("hostb", 2));
        for host in [&a, &b] {
            for package in ["older.deb", "newer.deb"] {
                let file = folder.join(package);
                let content = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
                host.write(&format!("/root/{package}"), content);
            }
            let version = host.virsh(&["version", "--daemon"]).ok().stdout;
            let running = format!("Running against daemon: {libvirt}");
            assert!(version.contains(&running), "{version}");
        }
        let [a, b] = [a, b].map(|host| Slot(Some(host)));
        Self { a, b, cluster }
    }

    /// A power cut on the first host, and its next boot.
    pub fn reboot(&mut self) {
        let (name, client) = (self.a.name().to_owned(), self.a.client());
        drop(self.a.0.take());
        self.a.0 = Some(self.cluster.host(&name, client));
    }

    /// Installs a package on a host.
    #[track_caller]
    pub fn install(host: &Host, package: &str) -> Output {
        let file = format!("/root/{package}.deb");
        dpkg(host, &["--install", &file]).ok()
    }

    /// Both hosts have the older package.
    #[track_caller]
    pub fn installed(&self) {
        for host in [&self.a, &self.b] {
            if status(host) != "installed" || version(host) != "0.1.0~test1" {
                let _ = Self::install(host, "older");
            }
        }
    }

    /// Makes a volume of the domain's name with a guest on it, and defines the domain on the first host.
    #[track_caller]
    pub fn domain(&self, name: &str) {
        self.cluster.volume(name, 1, Guest::Idle);
        let disk = format!("/dev/storpool/{name}");
        self.a.define(&Domain::new(name).disk(&disk));
    }

    /// A domain that has just been started on the first host.
    #[track_caller]
    pub fn running(&self, name: &str) {
        self.installed();
        self.domain(name);
        self.start(name);
    }

    /// Starts a domain on the first host. libvirt may still be about to look for hooks again: it does that after
    /// `systemctl reload` has returned.
    #[track_caller]
    pub fn start(&self, name: &str) {
        self.a.wait_for("the hook is known", SOON, || {
            self.a.virsh(&["start", name]).code == 0
        });
        assert_eq!(self.attached(&self.a), [name]);
    }

    /// Stops a domain on a host, which detaches its volume.
    #[track_caller]
    pub fn stop(&self, host: &Host, name: &str) {
        let _ = host.virsh(&["destroy", name]).ok();
        assert_eq!(self.attached(host), [] as [&str; 0]);
        assert!(host.claims().is_empty(), "{:?}", host.claims());
    }

    /// The volumes that are attached to a host.
    pub fn attached(&self, host: &Host) -> Vec<String> {
        let all = self.cluster.attachments();
        let own = all.into_iter().filter(|a| a.client == host.client());
        own.map(|a| a.volume).collect()
    }

    /// The same libvirtd and the same QEMU before and after, and libvirtd was never told to reload.
    #[track_caller]
    pub fn undisturbed<T>(&self, domain: &str, act: impl FnOnce() -> T) -> T {
        let before = (self.a.libvirtd_pid(), self.a.qemu_pid(domain), reloads(&self.a));
        assert!(before.0.is_some() && before.1.is_some(), "{before:?}");
        let result = act();
        let after = (self.a.libvirtd_pid(), self.a.qemu_pid(domain), reloads(&self.a));
        assert_eq!(after, before, "libvirtd, QEMU of {domain}, reloads");
        assert_eq!(self.a.state(domain).as_deref(), Some("running"));
        result
    }
}

/// Runs dpkg, which asks nothing.
#[track_caller]
pub fn dpkg(host: &Host, arguments: &[&str]) -> Output {
    let argv: Vec<&str> = ["dpkg", "--force-confdef", "--force-confold"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    host.exec(&argv)
}

/// What dpkg says the package is: `installed`, `config-files`; nothing when dpkg does not know it.
pub fn status(host: &Host) -> String {
    query(host, "${db:Status-Status}")
}

/// The version that is installed.
pub fn version(host: &Host) -> String {
    query(host, "${Version}")
}

/// A field of the package; nothing when dpkg does not know it.
pub fn query(host: &Host, field: &str) -> String {
    let format = format!("--showformat={field}");
    host.exec(&["dpkg-query", "--show", &format, "spvirt"]).stdout
}

/// How often systemd has told libvirtd to reload.
pub fn reloads(host: &Host) -> usize {
    let entries = host.journal(&["UNIT=libvirtd.service"]);
    let reloaded = entries.iter().filter(|entry| {
        entry["MESSAGE"]
            .as_str()
            .is_some_and(|m| m.starts_with("Reloaded "))
    });
    reloaded.count()
}

/// What a shell command prints.
#[track_caller]
pub fn shell(host: &Host, command: &str) -> String {
    host.exec(&["sh", "-c", command]).ok().stdout
}
