// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What libvirt tells a qemu hook on its command line, and what each call means to us. Pure.
//!
//! libvirt runs `HOOK DOMAIN OPERATION SUB-OPERATION EXTRA` (<https://libvirt.org/hooks.html>). The extra
//! argument is free text (a shutoff reason since 10.5.0) and argument counts may grow, so nothing here is an
//! error: what we do not know is [`Task::Nothing`].

use std::ffi::OsString;

/// What a hook call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The domain's name as libvirt passed it; bytes that are not UTF-8 are replaced. Only for messages:
    /// the key of a domain is its UUID.
    pub domain: String,
    /// The operation and sub-operation as given, e.g. `prepare begin`. Only for messages.
    pub operation: String,
    /// What we do about it.
    pub task: Task,
}

/// What a hook call can ask of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// `prepare begin`: attach the domain's volumes. The only call that may refuse.
    Acquire,
    /// `migrate begin`: the domain comes here, running, in a moment; the `prepare` that follows does not say so.
    Announce,
    /// `restore begin`: the domain starts from a saved image in a moment.
    Restore,
    /// `release end`: let go of what the claim says.
    Release,
    /// `reconnect begin`, `attach begin`: a domain runs already; make sure a claim says so.
    Adopt,
    /// Everything else, including operations of a future libvirt.
    Nothing,
}

impl Event {
    /// Reads the arguments of the process, program name included.
    #[must_use]
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Self {
        let mut args = args
            .into_iter()
            .skip(1)
            .map(|arg| arg.to_string_lossy().into_owned());
        let domain = args.next().unwrap_or_default();
        let operation = args.next().unwrap_or_default();
        let moment = args.next().unwrap_or_default();
        let task = match (operation.as_str(), moment.as_str()) {
            ("prepare", "begin") => Task::Acquire,
            ("migrate", "begin") => Task::Announce,
            ("restore", "begin") => Task::Restore,
            ("release", "end") => Task::Release,
            ("reconnect" | "attach", "begin") => Task::Adopt,
            _ => Task::Nothing,
        };
        Self {
            domain,
            operation: format!("{operation} {moment}").trim_end().to_owned(),
            task,
        }
    }

    /// Whether a failure of this call may be shown to libvirt. A failing `reconnect` would kill the running
    /// guest, so everything but `prepare` exits 0 whatever happens.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.task == Task::Acquire
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn event(args: &[&str]) -> Event {
        Event::from_args(
            std::iter::once("/etc/libvirt/hooks/qemu.d/50-storpool")
                .chain(args.iter().copied())
                .map(OsString::from),
        )
    }

    #[test]
    fn every_operation_of_libvirt_has_its_task() {
        for (operation, moment, task) in [
            ("prepare", "begin", Task::Acquire),
            ("start", "begin", Task::Nothing),
            ("started", "begin", Task::Nothing),
            ("stopped", "end", Task::Nothing),
            ("release", "end", Task::Release),
            ("migrate", "begin", Task::Announce),
            ("restore", "begin", Task::Restore),
            ("reconnect", "begin", Task::Adopt),
            ("attach", "begin", Task::Adopt),
            ("prepare", "end", Task::Nothing),
            ("release", "begin", Task::Nothing),
            ("hibernate", "begin", Task::Nothing),
        ] {
            let event = event(&["web1", operation, moment, "-"]);
            assert_eq!(event.task, task, "{operation} {moment}");
            assert_eq!(event.may_refuse(), operation == "prepare" && moment == "begin");
            assert_eq!(event.operation, format!("{operation} {moment}"));
        }
    }

    #[test]
    fn odd_arguments_are_no_task_and_no_error() {
        assert_eq!(Event::from_args([]).task, Task::Nothing);
        assert_eq!(event(&[]).task, Task::Nothing);
        assert_eq!(event(&["web1"]).operation, "");
        assert_eq!(event(&["web1", "prepare"]).task, Task::Nothing);
        assert_eq!(
            event(&["web1", "release", "end", "shutdown", "more", "yet more"]).task,
            Task::Release
        );
        let bytes = Event::from_args([
            OsString::from("x"),
            OsString::from_vec(vec![b'a', 0xff]),
            "prepare".into(),
            "begin".into(),
        ]);
        assert_eq!((bytes.domain.as_str(), bytes.task), ("a\u{fffd}", Task::Acquire));
    }
}
