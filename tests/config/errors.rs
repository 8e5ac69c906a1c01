// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What is wrong is said in one line with its place, and never with the token.

use spvirt::config::{self, FILE_MAX};

use super::{Etc, TOKEN};

#[test]
fn the_token_is_never_shown() {
    let etc = Etc::with("");
    let config = etc.read().unwrap();
    let values = config::read_values(&etc.files(), "h", &[]).unwrap();
    let token = &config.api.token;
    for shown in [
        format!("{config:?}"),
        format!("{values:#?}"),
        format!("{token} {token:?}"),
    ] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

/// Each place where a line with the token can end up in a fault; `Etc::error` looks for the token.
#[test]
fn the_token_is_in_no_error() {
    for (text, expected) in [
        (format!("SP_AUTH_TOKEN {TOKEN}\n"), "storpool.conf:1: no \"=\""),
        (format!("SP_AUTH_TOKEN: {TOKEN}\n"), "storpool.conf:1: no \"=\""),
        (
            format!("SP_AUTH_TOKEN={TOKEN} x\n"),
            "storpool.conf:1: SP_AUTH_TOKEN must be",
        ),
        (
            format!("SP_AUTH_TOKEN={TOKEN}\\\n"),
            "storpool.conf:1: this value ends",
        ),
        (format!("[SP_AUTH_TOKEN={TOKEN}\n"), "storpool.conf:1: a section"),
        (
            format!("SP_AUTH_TOKEN=1\nSP_OURID=1\\\nSP_AUTH_TOKEN={TOKEN}\n"),
            "storpool.conf:2: SP_OURID must be",
        ),
        (
            format!("SP_AUTH_TOKEN=1\nSP_OURID=1\nSPVIRT_TAKEOVER=\\\nSP_AUTH_TOKEN={TOKEN}\n"),
            "storpool.conf:3: SPVIRT_TAKEOVER must be",
        ),
    ] {
        let error = Etc::new().file("storpool.conf", text).error();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        (
            "SP_OURID=0\n",
            "storpool.conf:3: SP_OURID must be a client number from 1 to 4095, without quotes",
        ),
        ("SP_OURID=4096\n", "storpool.conf:3: SP_OURID must be"),
        ("SP_OURID=65537\n", "storpool.conf:3: SP_OURID must be"),
        ("SP_OURID=\n", "storpool.conf:3: SP_OURID must be"),
        ("SP_OURID=+7\n", "storpool.conf:3: SP_OURID must be"),
        ("SP_OURID=\"7\"\n", "storpool.conf:3: SP_OURID must be"),
        ("SP_OURID=7 # me\n", "storpool.conf:3: SP_OURID must be"),
        (
            "SP_API_HTTP_PORT=0\n",
            "storpool.conf:3: SP_API_HTTP_PORT must be a port number from 1 to 65535",
        ),
        (
            "SP_API_HTTP_PORT=65536\n",
            "storpool.conf:3: SP_API_HTTP_PORT must be",
        ),
        (
            "SP_API_HTTP_PORT=http\n",
            "storpool.conf:3: SP_API_HTTP_PORT must be",
        ),
        (
            "SP_API_HTTP_HOST=\"10.0.0.1\"\n",
            "storpool.conf:3: SP_API_HTTP_HOST must be a host name or an address, without quotes",
        ),
        ("SP_API_HTTP_HOST=\n", "storpool.conf:3: SP_API_HTTP_HOST must be"),
        (
            "SP_API_HTTP_HOST=x@evil\n",
            "storpool.conf:3: SP_API_HTTP_HOST must be",
        ),
        (
            "SP_API_HTTP_HOST=http://x\n",
            "storpool.conf:3: SP_API_HTTP_HOST must be",
        ),
        (
            "SP_API_HTTP_HOST=x:81\n",
            "storpool.conf:3: SP_API_HTTP_HOST must be",
        ),
        (
            "SP_AUTH_TOKEN=\n",
            "storpool.conf:3: SP_AUTH_TOKEN must be the token alone",
        ),
        (
            "SP_AUTH_TOKEN=caf\u{e9}\n",
            "storpool.conf:3: SP_AUTH_TOKEN must be",
        ),
        (
            "SPVIRT_TAKEOVR=safe\n",
            "storpool.conf:3: unknown key SPVIRT_TAKEOVR: the keys of spvirt are SPVIRT_TAKEOVER ",
        ),
        (
            "spvirt_takeover=safe\n",
            "storpool.conf:3: unknown key spvirt_takeover",
        ),
        (
            "SPVIRT_FOLLOW+=/x\n",
            "storpool.conf:3: unknown key SPVIRT_FOLLOW+",
        ),
        (
            "[h]\nSPVIRT_TAKEOVER=Safe\n",
            "storpool.conf:4: SPVIRT_TAKEOVER must be never, safe or always",
        ),
        (
            "SPVIRT_X\u{1b}[31m=1\n",
            "storpool.conf:3: unknown key SPVIRT_X\\u{1b}[31m",
        ),
    ] {
        let error = Etc::with(text).error();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn another_hosts_section_is_not_judged() {
    let text =
        "[x]\nSP_OURID=none\nSPVIRT_NOSUCH=1\nSPVIRT_TAKEOVER=\"x\"\nSP_API_HTTP_HOST=\nSP_AUTH_TOKEN=\n";
    assert!(Etc::with(text).read().is_ok());
}

#[test]
fn files_that_are_none() {
    let etc = Etc::with("");
    let name = "a\nb.conf";
    let etc = etc.file(&format!("storpool.conf.d/{name}"), "K\n");
    let error = etc.error();
    assert!(error.starts_with("storpool.conf.d/a\\nb.conf:1: "), "{error}");

    let limit = usize::try_from(FILE_MAX).unwrap();
    let big = vec![b'\n'; limit + 1];
    let etc = Etc::with("").file("storpool.conf.d/x.conf", &big[1..]);
    assert!(etc.read().is_ok(), "1 MiB is allowed");
    let error = etc.file("storpool.conf.d/x.conf", &big).error();
    assert!(
        error.starts_with("storpool.conf.d/x.conf: larger than 1 MiB"),
        "{error}"
    );

    for (target, expected) in [
        ("/dev/zero", "storpool.conf.d/x.conf: not a regular file"),
        ("nowhere", "storpool.conf.d/x.conf: no such file"),
        ("x.conf", "storpool.conf.d/x.conf: cannot be read"),
    ] {
        let etc = Etc::with("");
        std::os::unix::fs::symlink(target, etc.path("storpool.conf.d/x.conf")).unwrap();
        let error = etc.error();
        assert!(error.starts_with(expected), "{error}");
    }

    let etc = Etc::with("");
    let pipe = etc.path("storpool.conf.d/x.conf");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = etc.error();
    assert!(
        error.starts_with("storpool.conf.d/x.conf: not a regular file"),
        "{error}"
    );
}

#[test]
fn without_a_token_or_an_id_the_error_says_where_it_belongs() {
    let error = |text: &str| Etc::new().file("storpool.conf", text).error();
    assert!(error("SP_OURID=1\n").starts_with("storpool.conf: SP_AUTH_TOKEN is not set: "));
    let no_id = "storpool.conf: SP_OURID is not set for this host: ";
    for (section, hint) in [
        ("", "add it in a section [h], its name by uname -n"),
        (
            "[g]\nSP_OURID=1\n",
            "add it in a section [h], its name by uname -n",
        ),
        (
            "[H]\nSP_OURID=1\n",
            "its name (uname -n) is h, but the section is named [H]",
        ),
        (
            "[h.example.com]\nSP_OURID=1\n",
            "its name (uname -n) is h, but the section is named [h.example.com]",
        ),
    ] {
        assert_eq!(
            error(&format!("SP_AUTH_TOKEN=1\n{section}")),
            format!("{no_id}{hint}")
        );
    }
}
