// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `storpool-sim serve`: from an empty or a known state folder to a running cluster, and back.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::Serve;
use crate::cluster::{Client, Cluster};
use crate::monitor;
use crate::request_log::RequestLog;
use crate::server;
use crate::sim::Sim;

/// Runs until SIGTERM or SIGINT.
pub fn run(options: &Serve) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let listener =
        TcpListener::bind(&options.listen).map_err(|e| format!("listen on {}: {e}", options.listen))?;
    let log = options
        .request_log
        .as_ref()
        .map(|path| File::options().create(true).append(true).open(path));
    let log = RequestLog::with_file(log.transpose()?);
    let new = Cluster::new(&options.cluster_id, &options.cluster_name);
    let sim = Sim::open(&options.state, new, options.token.clone(), log)
        .map_err(|e| format!("state folder {}: {e}", options.state.display()))?;
    let sim = Arc::new(sim);
    configure(&sim, options)?;
    sim.restore();
    let address = listener.local_addr()?;
    let (watcher, acceptor) = (Arc::clone(&sim), Arc::clone(&sim));
    thread::spawn(move || monitor::watch(&watcher));
    thread::spawn(move || server::accept(&listener, &acceptor));
    let mut out = std::io::stdout();
    writeln!(out, "ready http://{address}")?;
    out.flush()?;
    let signal = signals.forever().next();
    crate::say(&format!(
        "signal {}: taking the devices away",
        signal.unwrap_or(0)
    ));
    sim.close();
    Ok(())
}

/// Applies the command line to the restored state.
fn configure(sim: &Sim, options: &Serve) -> Result<(), Box<dyn Error>> {
    let mut core = sim.lock();
    for pair in &options.switch {
        core.switches.set_pair(pair)?;
    }
    for text in &options.client {
        let (id, root) = text
            .split_once('=')
            .map_or((text.as_str(), None), |(id, root)| (id, Some(root)));
        let id: u16 = id
            .parse()
            .ok()
            .filter(|id| (1..=0x0fff).contains(id))
            .ok_or_else(|| format!("--client {text}: the id is not in 1..4095"))?;
        let client = core.cluster.clients.entry(id).or_insert_with(Client::new);
        if let Some(root) = root {
            client.root = Some(PathBuf::from(root));
        }
    }
    if let Some(count) = options.fill_attachments {
        core.cluster.fill = count;
    }
    sim.latency_ms.store(options.latency, Ordering::Relaxed);
    sim.save(&core);
    Ok(())
}
