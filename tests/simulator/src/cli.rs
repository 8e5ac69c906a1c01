// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The command line.

#![allow(clippy::doc_markdown, reason = "these comments are the help text")]

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};

static SERVE_HELP: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}
Examples:
  storpool-sim serve --state /tmp/sim --token secret --client 1=/tmp/host1/dev --client 2=/tmp/host2/dev
  storpool-sim serve --state /tmp/sim --listen 127.0.0.1:81 --switch batch=prefix --request-log /tmp/sim.log

Prints one line on stdout, `ready http://ADDRESS:PORT`, when it accepts connections; logs to stderr.
SIGTERM or SIGINT ends it: every loop device, node and link it made is taken away, the state stays in
--state and is restored (devices included) by the next start. Needs root for loop devices and nodes.",
        crate::switches::help()
    )
});

const EXAMPLES: &str = "\
Examples:
  storpool-sim serve --state /tmp/sim --listen 127.0.0.1:8181 --client 5=/tmp/host5/dev &
  export STORPOOL_SIM=127.0.0.1:8181
  storpool-sim volume create web1-root --size 16M
  storpool-sim attach web1-root --rw 5          # makes /tmp/host5/dev/storpool/web1-root
  storpool-sim attachments
  storpool-sim fault set VolumesReassignWait reset-after --count 1
  storpool-sim client down 5
  storpool-sim requests --since 10
  storpool-sim monitor

Without root the API works too, for clients that have no device root.";

/// A simulated StorPool cluster for tests: the JSON-over-HTTP API, volumes as sparse files, attachments as
/// loop devices in the /dev of each simulated client, and faults by script.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    /// Simulator to talk to (all commands but `serve`).
    #[arg(
        long,
        global = true,
        env = "STORPOOL_SIM",
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8181"
    )]
    pub server: String,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Serving, or talking to one that serves.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the cluster.
    #[command(after_help = SERVE_HELP.as_str())]
    Serve(Serve),
    /// Talk to a cluster that runs.
    #[command(flatten)]
    Admin(Admin),
}

/// `storpool-sim serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Folder for volumes and state; made if missing. Direct I/O needs a disk file system (not tmpfs).
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8181")]
    pub listen: String,
    /// Token that API callers must bring as `Authorization: Storpool v1:TOKEN`; none: no check.
    #[arg(long)]
    pub token: Option<String>,
    /// Register a client; DEVROOT is the folder that plays its /dev (may be /proc/PID/root/dev).
    #[arg(long, value_name = "ID[=DEVROOT]")]
    pub client: Vec<String>,
    /// Answer an open question about the real server (list below).
    #[arg(long, value_name = "NAME=VALUE")]
    pub switch: Vec<String>,
    /// Delay of every API reply, in ms.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency: u64,
    /// Put so many synthetic attachments of clients 3001.. into AttachmentsList.
    #[arg(long, value_name = "N")]
    pub fill_attachments: Option<u32>,
    /// Append every request to this file, one JSON document per line.
    #[arg(long, value_name = "FILE")]
    pub request_log: Option<PathBuf>,
    /// Cluster id, `location.cluster`: the first two parts of every global id. Only for a new state.
    #[arg(long, value_name = "ID", default_value = "s.b")]
    pub cluster_id: String,
    /// Name of the cluster. Only for a new state.
    #[arg(long, value_name = "NAME", default_value = "sim")]
    pub cluster_name: String,
}

/// Everything but `serve`.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Volumes: create, list, resize, rename, delete.
    #[command(subcommand)]
    Volume(VolumeVerb),
    /// Snapshots: create, list, delete.
    #[command(subcommand)]
    Snapshot(SnapshotVerb),
    /// Attach a volume or snapshot as an administrator would by hand.
    Attach {
        /// Name or ~globalId.
        object: String,
        /// Attach read-write at this client.
        #[arg(long, value_name = "CLIENT")]
        rw: Vec<u16>,
        /// Attach read-only at this client.
        #[arg(long, value_name = "CLIENT")]
        ro: Vec<u16>,
        /// It is a snapshot.
        #[arg(long)]
        snapshot: bool,
        /// Wait so many seconds for clients that are down; without it for ever.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u32>,
    },
    /// Detach a volume or snapshot as an administrator would by hand.
    Detach {
        /// Name or ~globalId.
        object: String,
        /// At this client; without it everywhere.
        #[arg(long, value_name = "ID")]
        client: Vec<u16>,
        /// Even if it is open.
        #[arg(long)]
        force: bool,
        /// It is a snapshot.
        #[arg(long)]
        snapshot: bool,
    },
    /// AttachmentsList, a line each: CLIENT POS RIGHTS GLOBALID NAME.
    Attachments,
    /// Clients (hosts): add, up, down, root, lag, remove.
    #[command(subcommand)]
    Client(ClientVerb),
    /// Faults by script: set, list, clear, release.
    #[command(subcommand)]
    Fault(FaultVerb),
    /// Switches: answers to open questions about the real server.
    #[command(subcommand)]
    Switch(SwitchVerb),
    /// The request log as JSON.
    Requests {
        /// Only requests numbered above this.
        #[arg(long, default_value_t = 0)]
        since: u64,
        /// Forget all requests instead.
        #[arg(long)]
        reset: bool,
    },
    /// Times in which one volume was open for writing at several clients, as JSON.
    Monitor {
        /// Forget all of them instead.
        #[arg(long)]
        reset: bool,
    },
    /// Who has which volume open at which client now, as JSON.
    Openers,
    /// Everything the simulator knows, as JSON.
    State,
    /// Delay every API reply.
    Latency {
        /// Milliseconds.
        ms: u32,
    },
    /// Put synthetic attachments of clients 3001.. into AttachmentsList.
    FillAttachments {
        /// How many.
        count: u32,
    },
    /// Any call of the API, without token, fault and log: `call GET VolumesList`.
    Call {
        /// GET or POST.
        method: String,
        /// Path after /ctrl/1.0/.
        path: String,
        /// JSON body.
        body: Option<String>,
    },
}

/// `volume ...`
#[derive(Debug, Subcommand)]
pub enum VolumeVerb {
    /// Make a volume; prints its global id.
    Create {
        /// Name; without it the volume is called ~globalId.
        name: Option<String>,
        /// Bytes, or with K, M, G, T.
        #[arg(long, value_parser = size)]
        size: u64,
        /// Tag, NAME=VALUE.
        #[arg(long, value_name = "NAME=VALUE")]
        tag: Vec<String>,
    },
    /// List volumes, a line each: GLOBALID SIZE NAME.
    List,
    /// Change the size (shrinks, too).
    Resize {
        /// Name or ~globalId.
        volume: String,
        /// Bytes, or with K, M, G, T.
        #[arg(value_parser = size)]
        size: u64,
    },
    /// Change the name.
    Rename {
        /// Name or ~globalId.
        volume: String,
        /// New name.
        name: String,
    },
    /// Delete a volume.
    Delete {
        /// Name or ~globalId.
        volume: String,
        /// Detach it first, by force.
        #[arg(long)]
        force: bool,
    },
}

/// `snapshot ...`
#[derive(Debug, Subcommand)]
pub enum SnapshotVerb {
    /// Take a snapshot; prints its global id.
    Create {
        /// Volume, name or ~globalId.
        volume: String,
        /// Name; also names that only the server gives (with `@`, or `*` in front).
        name: String,
        /// Make it an internal one that cannot be attached.
        #[arg(long)]
        transient: bool,
        /// Make it one that is being deleted, and stays so.
        #[arg(long)]
        deleted: bool,
    },
    /// List snapshots, a line each: GLOBALID SIZE NAME.
    List,
    /// Delete a snapshot.
    Delete {
        /// Name or ~globalId.
        snapshot: String,
    },
}

/// `client ...`
#[derive(Debug, Subcommand)]
pub enum ClientVerb {
    /// Register a client that is up.
    Add {
        /// 1..4095
        id: u16,
        /// Folder that plays its /dev.
        root: Option<PathBuf>,
    },
    /// Start its service: it applies what it has missed.
    Up {
        /// 1..4095
        id: u16,
    },
    /// Stop its service: devices stay, changes wait.
    Down {
        /// 1..4095
        id: u16,
    },
    /// Set (or look again at) the folder that plays its /dev; without FOLDER it has none any more.
    Root {
        /// 1..4095
        id: u16,
        /// The folder.
        root: Option<PathBuf>,
    },
    /// Let it take so long for each change.
    Lag {
        /// 1..4095
        id: u16,
        /// Milliseconds.
        ms: u64,
    },
    /// Unregister it.
    Remove {
        /// 1..4095
        id: u16,
    },
}

/// `fault ...`
#[derive(Debug, Subcommand)]
pub enum FaultVerb {
    /// Add a fault at the end of the queue; prints its number.
    #[command(after_help = FAULT_HELP)]
    Set {
        /// Name of the call, such as AttachmentsList; `*`: every call.
        call: String,
        /// What happens (list below).
        kind: String,
        /// How many calls it strikes.
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// It strikes every call until it is cleared.
        #[arg(long)]
        forever: bool,
        /// Let so many calls pass first.
        #[arg(long, default_value_t = 0)]
        skip: u64,
        /// Parameter of the kind, NAME=VALUE.
        #[arg(value_name = "NAME=VALUE")]
        parameter: Vec<String>,
    },
    /// The queue, as JSON.
    List,
    /// Remove a fault, or all; what hangs goes on.
    Clear {
        /// Number of the fault.
        id: Option<u64>,
    },
    /// Let what hangs go on.
    Release,
}

/// `switch ...`
#[derive(Debug, Subcommand)]
pub enum SwitchVerb {
    /// Set a switch.
    Set {
        /// NAME=VALUE
        pair: String,
    },
    /// All switches.
    List,
}

const FAULT_HELP: &str = "\
Kinds and their parameters (optional ones in brackets; times in ms). \"Applied\" means: the change is made.
  transient [status=N]                     error with transient: true; not applied
  error name=X [descr=TEXT] [status=N]     that error; not applied
  ok-error name=X [descr=TEXT]             that error with HTTP status 200; not applied
  refuse                                   403, token refused; not applied
  redirect to=URL                          302; not applied
  reset-before                             RST, not applied
  reset-after                              applied, then RST instead of a reply
  drop-after                               applied, then closed without a reply
  hang-before [ms=N]                       silence (without ms until `fault release`), then as usual
  hang-after [ms=N]                        applied, silence, then the reply
  slow [before=N] [after=N]                pauses before and after applying
  jitter [before=N] [after=N] [seed=N]     pauses of chance, up to these, other ones for each call
  drip ms=N                                applied; the body comes 16 bytes at a time
  garbage [text=TEXT]                      applied; the body is not JSON
  truncate                                 applied; half the body, Content-Length promises all
  truncate-chunk                           applied; a chunked body that ends inside a chunk
  wrong-type                               applied; data is {} for a list, [] for an object
  huge [mb=N]                              applied; N MB of a list that parses, or an endless one
  late-device ms=N [early=nothing|node|empty]  applied and answered; the devices are complete later; before that
                                           nothing is there, or the node without links, or all with size 0
  client-down client=ID                    that client goes down, then as usual

Examples:
  storpool-sim fault set VolumesReassignWait transient --count 2
  storpool-sim fault set AttachmentsList error name=objectDoesNotExist status=404 --skip 1
  storpool-sim fault set '*' hang-before --forever";

/// A size on the command line.
fn size(text: &str) -> Result<u64, String> {
    let unit = |c| match c {
        'K' => Some(10),
        'M' => Some(20),
        'G' => Some(30),
        'T' => Some(40),
        _ => None,
    };
    let (digits, shift) = match text.chars().last().and_then(unit) {
        Some(shift) => (text.get(..text.len() - 1).unwrap_or_default(), shift),
        None => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a size such as 16M"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("{text} is too large"))
}
