// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt rewrite` on files and stdin: no libvirt, no StorPool, no configuration.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const XML: &str = "<?xml version='1.0'?>\r\n<!-- mine --><domain type='kvm'>\r\n\t<name>a</name>\r\n\t<memory>1</memory>\r\n\
    \t<os><type>hvm</type></os>\r\n\t<devices>\r\n\t\t<disk type=\"file\"><source file=\"/dev/storpool/v\"/>\
    <target dev='vda'/></disk>\r\n\t\t<graphics type='vnc' passwd='geheim'/>\r\n\t</devices>\r\n</domain>";
const BLOCK: &str = "<disk type=\"block\"><source dev=\"/dev/storpool/v\"/>";

fn spvirt(arguments: &[&str], stdin: &str, path: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spvirt"));
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse before it has read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn stdin_becomes_stdout_with_all_that_is_in_it() {
    let expected = XML.replace("<disk type=\"file\"><source file=\"/dev/storpool/v\"/>", BLOCK);
    for arguments in [
        &["rewrite", "--block"][..],
        &["rewrite", "--block", "-"],
        &["rewrite", "-", "--block", "--print-xml"],
    ] {
        let output = spvirt(arguments, XML, None);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(0), expected.clone())
        );
        assert_eq!(text(&output.stderr), "");
    }
    let again = spvirt(&["rewrite", "--block"], &expected, None);
    assert_eq!(text(&again.stdout), expected);
    assert_eq!(text(&again.stderr), "No XML change is needed.\n");
}

#[test]
fn a_difference_shows_no_password() {
    let diff = spvirt(&["rewrite", "--block", "-n"], XML, None);
    let diff = text(&diff.stdout);
    assert!(
        diff.starts_with("--- Original XML\n+++ Altered XML\n@@ "),
        "{diff}"
    );
    assert!(diff.contains(&format!("+\t\t{BLOCK}")), "{diff}");
    assert!(diff.contains("graphics") && !diff.contains("geheim"), "{diff}");
    let json = spvirt(&["rewrite", "--block", "--json"], XML, None);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json[0]["result"], "would_change");
    assert!(!json.to_string().contains("geheim"), "{json}");
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let code = |arguments: &[&str], stdin: &str| {
        let output = spvirt(arguments, stdin, None);
        (output.status.code().unwrap(), text(&output.stderr))
    };
    for (arguments, words) in [
        (&["rewrite"][..], "no recipe"),
        (
            &["rewrite", "--tune", "--define", "-"],
            "--define is for domains, not for files",
        ),
        (&["rewrite", "--tune", "./a", "b"], "one file at a time"),
        (
            &["rewrite", "--map", "a=b", "--map", "b=a", "-"],
            "--map: \"b\" is put in and replaced",
        ),
        (&["rewrite", "--map", "a=/dev/sda", "-"], "not a StorPool device"),
        (
            &["rewrite", "--map", "a=b", "--map", "a=c", "-"],
            "replaced twice",
        ),
        (&["rewrite", "--tune=fast", "-"], "must be detect-zeroes"),
        (&["rewrite", "--tune=queues=0", "-"], "from 1 to 256"),
        (&["rewrite", "--tune", "--all", "web1"], "cannot be used with"),
        (&["xml", "disk", "/dev/sda"], "not a StorPool device"),
        (&["xml", "metadata", "--filter", "all"], "must be off, or some of"),
    ] {
        let (code, said) = code(arguments, XML);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    for (arguments, stdin, words) in [
        (
            &["rewrite", "--tune"][..],
            "<pool/>",
            "stdin: line 1, column 1: the root element is not <domain>",
        ),
        (
            &["rewrite", "--tune"],
            "<domain>\n <a>",
            "stdin: line 2, column 5: the document is cut off",
        ),
        (
            &["rewrite", "--tune", "./no-such-file"],
            "",
            "reading ./no-such-file: No such file",
        ),
        (
            &["rewrite", "--serial", "global-id"],
            "<domain id='7'/>",
            "changes what the guest sees",
        ),
        (
            &["rewrite", "--replace", "vdz=v"],
            XML,
            "vdz: the domain has no disk with this target",
        ),
    ] {
        let (code, said) = code(arguments, stdin);
        assert_eq!(code, 1, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

/// A `virt-xml-validate` that finds a document valid as long as it says so.
fn validator(folder: &Path, accepts: &str) {
    let path = folder.join("virt-xml-validate");
    fs::write(
        &path,
        format!(
            "#!/bin/sh\n/bin/grep -q \"{accepts}\" || {{ echo '-:1: fails to validate' >&2; exit 3; }}\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn only_what_is_newly_wrong_fails_a_validation() {
    let validate = ["rewrite", "--block", "--validate"];
    // libvirt's own.
    let output = spvirt(&validate, XML, None);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let folder = tempfile::tempdir().unwrap();
    let output = spvirt(&validate, XML, Some(folder.path()));
    assert!(text(&output.stderr).contains("--validate needs virt-xml-validate: install libvirt-clients"));
    for (accepts, code) in [("domain", 0), ("block", 0), ("file=", 1)] {
        validator(folder.path(), accepts);
        let output = spvirt(&validate, XML, Some(folder.path()));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{accepts}: {}",
            text(&output.stderr)
        );
        assert_eq!(output.stdout.is_empty(), code == 1);
    }
    let output = spvirt(&validate, XML, Some(folder.path()));
    assert_eq!(
        text(&output.stderr),
        "error: stdin: the result is not valid, the original was: -:1: fails to validate\n"
    );
}
