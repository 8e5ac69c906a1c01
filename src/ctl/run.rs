// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Programs that are asked something, with a time limit.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take. None of them waits for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a program prints, or why it does not. Nothing on its standard input, and its standard error is dropped.
pub fn output(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() > until => {
                // It may have ended just now.
                let _ = child.kill();
                let _ = child.wait();
                return Err("it does not end".to_owned());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Err(format!("{status}"));
    }
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout {
        stdout
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// The version that the hook at `path` says it is of.
pub fn version(path: &Path) -> Result<String, String> {
    let said = output(path, &["--version"])?;
    let version = said.trim_end().strip_prefix("spvirt-hook ").map(str::to_owned);
    version.ok_or_else(|| "it does not know --version".to_owned())
}

/// When systemd last reloaded a unit, in seconds since 1970; `None` if it has not since its start, or there is no
/// systemd.
pub fn reloaded(unit: &str) -> Option<i64> {
    let object = format!("/org/freedesktop/systemd1/unit/{}", escaped(unit));
    let service = "org.freedesktop.systemd1";
    let interface = "org.freedesktop.systemd1.Service";
    let said = output(
        Path::new("busctl"),
        &["get-property", service, &object, interface, "ExecReload"],
    );
    last_run(&said.ok()?)
}

/// The name of a unit as a part of a D-Bus path: all but letters and digits as `_` and two hex digits.
fn escaped(unit: &str) -> String {
    unit.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("_{other:02x}"),
        })
        .collect()
}

/// When the last command of a list last began, from `a(sasbttttuii)`: path, arguments, a flag, then begin and end in
/// microseconds since 1970 and on the boot clock.
fn last_run(property: &str) -> Option<i64> {
    let flag = property.rfind(" false ").max(property.rfind(" true "))?;
    let numbers = property.get(flag..)?.split_ascii_whitespace().skip(1);
    let begin: i64 = numbers.take(1).next()?.parse().ok()?;
    (begin > 0).then_some(begin / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_given_a_limited_time() {
        assert_eq!(output(Path::new("echo"), &["a", "b"]).as_deref(), Ok("a b\n"));
        assert!(output(Path::new("false"), &[]).is_err());
        assert!(output(Path::new("/no/such/program"), &[]).is_err());
        assert_eq!(
            output(Path::new("sleep"), &["1000"]),
            Err("it does not end".to_owned())
        );
    }

    #[test]
    fn systemds_answer_is_read() {
        let never = r#"a(sasbttttuii) 1 "/bin/kill" 3 "/bin/kill" "-HUP" "$MAINPID" false 0 0 0 0 0 0 0"#;
        assert_eq!(last_run(never), None);
        let once = r#"a(sasbttttuii) 1 "/bin/kill" 3 "/bin/kill" "-HUP" "$MAINPID" false 1700000000123456 55 1700000000125456 57 4711 1 0"#;
        assert_eq!(last_run(once), Some(1_700_000_000));
        assert_eq!(last_run("a(sasbttttuii) 0"), None);
        assert_eq!(escaped("libvirtd.service"), "libvirtd_2eservice");
    }
}
