// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The other tools, in a Python that lives as long as the bench: what it takes to start is not counted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A Python that answers.
pub struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The script.
pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rewriting/peers.py")
}

impl Python {
    /// Starts it.
    pub fn start(python: &Path) -> Self {
        let mut child = Command::new(python)
            .args(["-B", "-I"])
            .arg(script())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python with lxml: make bench makes one");
        Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// The time that `tool` takes for `task` on a document, so many times; what came out goes to a file.
    pub fn time(
        &mut self,
        tool: &str,
        task: &str,
        path: &Path,
        times: u32,
        result: Option<&Path>,
    ) -> Duration {
        let result = result.unwrap_or(Path::new("-"));
        writeln!(
            self.input,
            "{tool} {task} {} {times} {}",
            path.display(),
            result.display()
        )
        .expect("a Python that reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        Duration::from_secs_f64(line.trim().parse().expect("seconds"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
