// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Two hosts on a simulated cluster with some volumes and a domain to play with: what the documents speak of, and what
//! `make shell` gives to a person.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use spvirt_rig::{Binaries, Cluster, Domain, Guest, Host, Output, binary};

/// Longest a command may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Where commands are typed, with the files the documents speak of. Each host has its own.
const FOLDER: &str = "/var/lib/lab";

/// The hosts and their cluster.
pub struct Lab {
    hosts: [Host; 2],
    cluster: Cluster,
}

impl Lab {
    /// A cluster with hosta and hostb, volumes `web1-root` (bootable), `web1-data` and `media`, a snapshot
    /// `installer`, and `web1.xml` on both hosts.
    pub fn new() -> Self {
        let binaries =
            Binaries::new(binary("storpool-sim"), binary("spvirt-hook")).with_ctl(binary("spvirt"));
        let mut cluster = Cluster::start(&binaries);
        let hosts = [cluster.host("hosta", 1), cluster.host("hostb", 2)];
        cluster.volume("web1-root", 16, Guest::Idle);
        cluster.volume("web1-data", 16, Guest::None);
        cluster.volume("media", 16, Guest::None);
        cluster.snapshot("media", "installer");
        let web1 = Domain::new("web1")
            .element("<uuid>c0ffee00-0000-4000-8000-000000000001</uuid>")
            .disk("/dev/storpool/web1-root")
            .disk(&format!("/dev/storpool-byid/{}", cluster.global_id("web1-data")));
        for host in &hosts {
            host.write(&format!("{FOLDER}/web1.xml"), web1.xml());
        }
        Self { hosts, cluster }
    }

    /// Runs a command as somebody on the host would.
    pub fn run(&self, host: &str, command: &str) -> Option<Output> {
        let host = self.hosts.iter().find(|known| known.name() == host)?;
        let line = format!("cd {FOLDER} && {command}");
        let argv: Vec<_> = ["env"]
            .into_iter()
            .map(str::to_owned)
            .chain(self.environment())
            .collect();
        let argv: Vec<&str> = argv
            .iter()
            .map(String::as_str)
            .chain(["bash", "-c", &line])
            .collect();
        Some(host.spawn(&argv).wait(PATIENCE))
    }

    /// A shell for the person who is there, with a word for each host; ends when the person ends it.
    pub fn shell(&self) -> std::io::Result<ExitStatus> {
        Command::new("env")
            .args(self.environment())
            .args([
                "bash",
                "-c",
                "exec bash --rcfile <(printf %s \"$0\") -i",
                &self.words(),
            ])
            .status()
    }

    /// Whether the words of that shell lead to the hosts, and to the folder with the files.
    pub fn has_its_words(&self) -> Result<(), String> {
        let script = self.words() + "hosta hostname; hostb hostname; hosta ls\n";
        let output = Command::new("bash")
            .args(["-c", &script])
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.stderr.is_empty() && said == "hosta\nhostb\nweb1.xml\n" {
            Ok(())
        } else {
            Err(said + &String::from_utf8_lossy(&output.stderr))
        }
    }

    /// What the shell is told: a function for each host, which runs a command there, or a shell.
    fn words(&self) -> String {
        let mut rc = String::from("PS1='lab# '\ncd /\n");
        for host in &self.hosts {
            let (name, init) = (host.name(), host.init());
            rc = format!(
                "{rc}{name}() {{ if [ $# -eq 0 ]; then set -- bash --norc --noprofile -i; fi; PS1='{name}# ' \\\n    \
                 nsenter --target={init} --mount --uts --net --ipc --pid --root --wd=/ -- \\\n    \
                 sh -c 'cd {FOLDER} && exec \"$@\"' sh \"$@\"; }}\n"
            );
        }
        rc
    }

    /// Where the programs are, and where the cluster is.
    fn environment(&self) -> Vec<String> {
        let programs = binary("storpool-sim");
        let folder = programs.parent().map(|folder| folder.display().to_string());
        vec![
            format!(
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin:{}",
                folder.unwrap_or_default()
            ),
            format!(
                "STORPOOL_SIM={}",
                self.cluster.url().trim_start_matches("http://")
            ),
        ]
    }
}
