// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt check`: is this host fit to run domains on StorPool? What is looked at is in `inspect`, what is thought of
//! it in `check`; here both are brought together, printed, and repaired where that is safe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use spvirt::api::client::Api;
use spvirt::check::daemon::Daemon;
use spvirt::check::{self, Finding, Verdict as Found, hook};
use spvirt::claim::Entry;
use spvirt::claim::lock::{self, Lock};
use spvirt::claim::store::{self, Store};
use spvirt::config::{self, Config, ConfigError, Files};
use spvirt::inspect;
use spvirt::sys;

use crate::libvirt::Libvirt;
use crate::{Failure, Verdict, overrides, repair, run};

/// How long StorPool may take for both questions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Check whether this host is fit to run domains on StorPool
///
/// Looks at the configuration, at StorPool, at the hook and whether libvirt
/// calls it, at what else on the host may get hold of volumes, at the state of
/// spvirt, and at the disks of domains. Each line ends in PASS, in WARN (it
/// works, or nobody can tell) or in FAIL, with what to do. Changes nothing
/// without --fix.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  spvirt check\n  spvirt check --fix\n  \
    spvirt check --json | jq '.findings[] | select(.verdict != \"pass\")'\n\n\
    Exit code 1 when anything is FAIL, as of virt-host-validate.")]
pub struct Args {
    /// Repair what is safe to repair: rights of spvirt's own files, a missing
    /// link to the hook, a libvirt that has not noticed the hook (a reload,
    /// which guests do not notice)
    #[arg(long)]
    fix: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of a repair.
#[derive(Debug, Serialize)]
struct Repaired {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repaired: Vec<Repaired>,
    findings: Vec<Finding>,
}

/// Runs the command.
pub fn run(out: &mut impl Write, libvirt: &Libvirt, args: &Args) -> Result<Verdict, Failure> {
    let mut report = Report {
        repaired: Vec::new(),
        findings: look(libvirt, &[]),
    };
    if args.fix {
        repair_all(libvirt, &mut report);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")?;
    } else {
        for repaired in &report.repaired {
            let end = match &repaired.error {
                None => "DONE".to_owned(),
                Some(error) => format!("FAIL ({error})"),
            };
            line(out, "Repair:", &repaired.what, &end)?;
        }
        for finding in &report.findings {
            line(out, "Checking", &finding.what, &ending(finding))?;
        }
    }
    let failed = report
        .findings
        .iter()
        .any(|finding| finding.verdict == Found::Fail);
    Ok(if failed {
        Verdict::SomethingLeft
    } else {
        Verdict::Clean
    })
}

/// Repairs what can be, and looks again: a link that was made shows whether its daemon has to be told.
fn repair_all(libvirt: &Libvirt, report: &mut Report) {
    let (mut tried, mut reloaded) = (Vec::new(), Vec::new());
    loop {
        let wanted = report.findings.iter().filter_map(|finding| finding.fix.clone());
        let wanted: Vec<_> = wanted.filter(|fix| !tried.contains(fix)).collect();
        if wanted.is_empty() {
            return;
        }
        for fix in wanted {
            let done = repair::apply(&fix);
            report.repaired.push(Repaired {
                what: repair::describe(&fix),
                error: done.clone().err(),
            });
            tried.push(fix.clone());
            if let (Ok(()), check::Fix::Reload(daemon)) = (done, fix) {
                reloaded.push(daemon);
            }
        }
        report.findings = look(libvirt, &reloaded);
    }
}

/// One line in the shape of virt-host-validate.
fn line(out: &mut impl Write, doing: &str, what: &str, end: &str) -> Result<(), Failure> {
    Ok(writeln!(out, "SPVIRT: {doing} {what:<66}: {end}")?)
}

fn ending(finding: &Finding) -> String {
    match finding.verdict {
        Found::Pass => "PASS".to_owned(),
        Found::Warn => format!("WARN ({})", finding.advice),
        Found::Fail => format!("FAIL ({})", finding.advice),
    }
}

/// Looks at everything. `reloaded` are daemons that were told to look for hooks a moment ago.
fn look(libvirt: &Libvirt, reloaded: &[Daemon]) -> Vec<Finding> {
    let root = Path::new("/");
    let proc = Path::new("/proc");
    let files = Files::system();
    let config = config::read(&files, &sys::host_name(), &overrides());
    let config_files = inspect::etc::config_files(&files).unwrap_or_default();
    let scripts = inspect::hooks::scripts(root);
    let program = inspect::hooks::program(root, run::version);
    let mut daemons = inspect::daemons::libvirt(proc, run::reloaded);
    let claims = Store::new(PathBuf::from(store::DIR)).all();

    let mut findings = check::config::judge(&config, &config_files);
    let entries = claims.as_deref().unwrap_or_default();
    findings.extend(storpool(&config, entries));
    findings.extend(hook::judge(&program, &scripts, &libvirt.version()));
    let confinement = inspect::labels::read(root, &daemons);
    // systemd may say that it has not reloaded them yet.
    let told = daemons.extract_if(.., |daemon| {
        let process = daemon.process;
        reloaded.iter().any(|told| told.process == process)
    });
    findings.extend(told.map(|daemon| check::daemon::told(&daemon)));
    findings.extend(check::daemon::judge(&daemons, &scripts, entries));
    findings.extend(check::confinement::judge(&confinement));
    findings.push(check::lvm::judge(&inspect::etc::lvm(root)));
    let multipathd = inspect::daemons::runs(proc, "multipathd");
    findings.push(check::multipath::judge(&inspect::etc::multipath(
        root, multipathd,
    )));
    let me = config.as_ref().ok().map(|config| config.client);
    findings.extend(match inspect::state::read(root) {
        Ok(folders) => check::state::folders(&folders),
        Err(error) => vec![check::state::unreadable(&error)],
    });
    findings.extend(match &claims {
        Ok(entries) => {
            let is_busy =
                |entry: &&Entry| lock::is_held(Path::new(lock::DIR), &Lock::Domain(entry.uuid().clone()));
            let busy = entries.iter().filter(is_busy).map(|entry| entry.uuid().clone());
            // Without a boot id, which the kernel always has, every claim is of another boot.
            let boot = sys::boot_id().unwrap_or_default();
            check::state::claims(entries, me, &boot, &busy.collect())
        }
        Err(error) => vec![check::state::unreadable(error)],
    });
    findings.extend(check::domains::judge(&libvirt.definitions()));
    findings
}

/// What StorPool says, and what that means for the volumes here.
fn storpool(config: &Result<Config, ConfigError>, entries: &[Entry]) -> Vec<Finding> {
    let Ok(config) = config else {
        return Vec::new();
    };
    let api = Api::new(config);
    let until = Instant::now() + PATIENCE;
    let clients = api.clients(until);
    let listing = api.attachments_of(&[], config.client, config.client, until);
    let mut findings = check::api::judge(config.client, &clients, &listing);
    if let Ok(listing) = listing {
        let attached = inspect::devices::attached(&listing.attachments);
        findings.extend(check::leftovers::judge(config.client, &attached, entries));
    }
    findings
}
