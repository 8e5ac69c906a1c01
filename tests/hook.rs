// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The hook's program, run by itself with input that libvirt never sends: it ends with 0 and says nothing, unless
//! it is `prepare` and the bytes speak of storpool: then it ends with 1 and one line.
//!
//! No input here is a document that the hook understands and that names a volume, so nothing of this machine is
//! touched: `tests/e2e` is for those.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Output, Stdio};

const HOOK: &str = env!("CARGO_BIN_EXE_spvirt-hook");

/// Runs the hook. It may end without having read its input.
fn run<A: AsRef<OsStr>>(arguments: &[A], stdin: &[u8]) -> Output {
    let mut child = Command::new(HOOK)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

#[track_caller]
fn passes<A: AsRef<OsStr>>(arguments: &[A], stdin: &[u8]) {
    let output = run(arguments, stdin);
    let words: Vec<_> = arguments.iter().map(|a| a.as_ref().to_owned()).collect();
    let start = String::from_utf8_lossy(&stdin[..stdin.len().min(60)]).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words:?} {start}: {output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{words:?} {start}: {output:?}"
    );
}

/// `prepare` refuses, with one line that holds `says`; no other operation does.
#[track_caller]
fn refuses(stdin: &[u8], says: &str) {
    let output = run(&["web1", "prepare", "begin", "-"], stdin);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(output.stdout.is_empty());
    assert!(line.starts_with("spvirt: ") && line.ends_with('\n'), "{line:?}");
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(line.len() <= 1001, "{}", line.len());
    assert!(
        line.contains(": web1: its XML is not understood and speaks of storpool: "),
        "{line}"
    );
    assert!(line.contains(says), "{says:?} is not in {line:?}");
    for operation in OPERATIONS
        .iter()
        .filter(|(name, moment)| (*name, *moment) != ("prepare", "begin"))
    {
        passes(&["web1", operation.0, operation.1, "-"], stdin);
    }
}

/// Every operation libvirt knows, and some it may know one day.
const OPERATIONS: [(&str, &str); 12] = [
    ("prepare", "begin"),
    ("start", "begin"),
    ("started", "begin"),
    ("stopped", "end"),
    ("release", "end"),
    ("migrate", "begin"),
    ("restore", "begin"),
    ("reconnect", "begin"),
    ("attach", "begin"),
    ("prepare", "end"),
    ("hibernate", "begin"),
    ("", ""),
];

const PLAIN: &str = "<domain type='kvm'><name>web1</name><uuid>5eed0000-0000-4000-8000-000000000001</uuid>\
    <devices><disk type='block'><source dev='/dev/sda'/><target dev='vda'/></disk></devices></domain>";

#[test]
fn a_domain_without_volumes_passes_in_every_operation() {
    for (operation, moment) in OPERATIONS {
        passes(&["web1", operation, moment, "-"], PLAIN.as_bytes());
    }
}

#[test]
fn odd_arguments_pass() {
    let storpool = b"<domain>/dev/storpool/x";
    passes::<&str>(&[], storpool);
    passes(&["web1"], storpool);
    passes(&["web1", "prepare"], storpool);
    passes(&["web1", "PREPARE", "begin"], storpool);
    passes(&["web1", "prepare", "middle", "-", "more", "and more"], storpool);
    passes(&["--help"], storpool);
    passes(&["--", "-", "\n", ""], storpool);
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    passes(
        &[
            bytes(b"\xff\xfe"),
            bytes(b"prep\xffare"),
            bytes(b"begin"),
            bytes(b"\x80"),
        ],
        storpool,
    );
    passes(
        &[bytes(&vec![b'a'; 100_000]), bytes(b"release"), bytes(b"end")],
        storpool,
    );
}

#[test]
fn the_version_is_told_to_who_asks_for_nothing_else() {
    let said = run(&["--version"], b"");
    let expected = format!("spvirt-hook {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (said.status.code(), said.stdout.as_slice()),
        (Some(0), expected.as_bytes())
    );
    // A domain may have that name.
    passes(&["--version", "prepare", "begin", "-"], b"<domain/>");
}

#[test]
fn a_name_of_any_bytes_is_one_line() {
    for name in [
        &b"we\xffb"[..],
        b"we\nb",
        b"we\x1b[31mb",
        "вѣб".as_bytes(),
        &[b'x'; 5000],
    ] {
        let arguments = [name.to_vec(), b"prepare".to_vec(), b"begin".to_vec()].map(OsString::from_vec);
        let output = run(&arguments, b"storpool");
        assert_eq!(output.status.code(), Some(1));
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.matches(|c: char| c.is_control()).count(), 1, "{line:?}");
        assert!(line.len() <= 1001, "{}", line.len());
    }
}

/// What no reader of XML takes: each passes as it is, and is refused with a StorPool path in it.
#[test]
fn odd_documents_pass_unless_they_speak_of_storpool() {
    let path = "/dev/storpool/web1";
    for (text, says) in [
        ("{}", "line 1, column "),
        ("\0\0\0{}\0", "line 1, column "),
        ("<domain><name>{}\0</name></domain>", "line 1, column "),
        (
            "<!DOCTYPE domain [<!ENTITY x \"{}\">]><domain>&x;</domain>",
            "line 1, column ",
        ),
        ("<domain><devices><disk><source dev='{}'/>", "cut off"),
        ("<domain><devices><disk><source dev='{}", "line 1, column "),
        ("<domain>\n<source dev='{}'></domain>", "line 2, column "),
        ("<domain/><domain>{}</domain>", "line 1, column "),
        ("<domain><name>web1</name><source dev='{}'/></domain>", "no UUID"),
        ("<domain>&nbsp;{}</domain>", "line 1, column "),
        ("<domain a='1' a='2'>{}</domain>", "line 1, column "),
        ("<!-- {} -- --><domain/>", ""),
        ("<![CDATA[{}]]>", "line 1, column "),
    ] {
        passes(
            &["web1", "prepare", "begin", "-"],
            text.replace("{}", "/dev/sda").as_bytes(),
        );
        refuses(text.replace("{}", path).as_bytes(), says);
    }
    let mut bytes = b"<domain><name>\xff\xfe</name>".to_vec();
    passes(&["web1", "prepare", "begin", "-"], &bytes);
    bytes.extend(path.as_bytes());
    refuses(&bytes, "");
}

#[test]
fn empty_input_passes() {
    for (operation, moment) in OPERATIONS {
        passes(&["web1", operation, moment, "-"], b"");
    }
}

#[test]
fn deep_nesting_is_not_followed() {
    let deep = "<a>".repeat(1_000_000);
    passes(&["web1", "prepare", "begin", "-"], deep.as_bytes());
    refuses(format!("{deep}/dev/storpool/x").as_bytes(), "line 1, column ");
    refuses(
        format!("<domain>{deep}storpool{}</domain>", "</a>".repeat(1_000_000)).as_bytes(),
        "",
    );
}

#[test]
fn input_of_17_mib_passes_unless_it_speaks_of_storpool() {
    let filler = " ".repeat(17 << 20);
    passes(&["web1", "prepare", "begin", "-"], filler.as_bytes());
    refuses(
        format!("<domain>/dev/storpool/x{filler}").as_bytes(),
        "longer than 16 MiB",
    );
    refuses(
        format!("{filler}/dev/storpool/x").as_bytes(),
        "longer than 16 MiB",
    );
    // Across the border of what is read at once.
    let border = " ".repeat((16 << 20) - 4);
    refuses(
        format!("{border}storpool{filler}").as_bytes(),
        "longer than 16 MiB",
    );
}

/// libvirt may be gone, or be a libvirt that closes what it does not need.
#[test]
fn closed_descriptors_change_nothing() {
    for (closed, code) in [
        ("<&-", 0),
        (">&-", 1),
        ("2>&-", 1),
        ("<&- >&- 2>&-", 0),
        (">&- 2>&-", 1),
    ] {
        for (operation, code) in [
            ("prepare begin", code),
            ("reconnect begin", 0),
            ("release end", 0),
        ] {
            let call = format!("printf storpool | {{ exec \"$0\" web1 {operation} - {closed}; }}");
            let output = Command::new("sh").args(["-c", &call, HOOK]).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{call}: {output:?}");
            assert!(output.stdout.is_empty(), "{call}");
        }
    }
    // Readers that have gone: a pipe nobody reads.
    for (operation, code) in [("prepare begin", 1), ("reconnect begin", 0)] {
        let call = format!("printf storpool | {{ \"$0\" web1 {operation} -; echo $? >&3; }} 2>&1 | true");
        let output = Command::new("bash")
            .args(["-c", &format!("exec 3>&1; {call}"), HOOK])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), code.to_string());
    }
}

/// A million hooks a day start faster the less they load; and no libvirt, no TLS may creep in.
#[test]
fn nothing_but_libc_is_linked() {
    let output = Command::new("readelf")
        .args(["-d", HOOK])
        .output()
        .expect("readelf, of binutils");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<_> = text
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .map(|line| line.split_once('[').unwrap().1.trim_end_matches(']'))
        .collect();
    assert!(needed.contains(&"libc.so.6"), "{text}");
    for library in needed {
        let known = matches!(library, "libc.so.6" | "libgcc_s.so.1") || library.starts_with("ld-linux");
        assert!(known, "the hook links {library}");
    }
    assert!(!text.contains("(RPATH)") && !text.contains("(RUNPATH)"), "{text}");
}
