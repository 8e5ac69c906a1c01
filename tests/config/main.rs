// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! StorPool's configuration files as we read them. `cases.json` is the table of the grammar and of
//! precedence, with what the official readers do beside it (`tests/conformance/config/check.py` proves those
//! columns); the rest is what the values mean to us.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod errors;
mod properties;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use spvirt::config::{
    self, Config, ConfigError, Domains, Files, Filter, KEYS, Recipe, Settings, Takeover, Ticket,
};
use spvirt::operand::Operand;
use spvirt::volume::ClientId;
use tempfile::TempDir;

const TOKEN: &str = "1234567890123456789";

/// A folder that stands for `/etc`.
struct Etc(TempDir);

impl Etc {
    fn new() -> Self {
        let etc = Self(TempDir::new().unwrap());
        fs::create_dir(etc.path("storpool.conf.d")).unwrap();
        etc
    }

    /// With this as `storpool.conf`, after a token and an id.
    fn with(text: &str) -> Self {
        Self::new().file(
            "storpool.conf",
            format!("SP_AUTH_TOKEN={TOKEN}\nSP_OURID=7\n{text}"),
        )
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> Files {
        Files {
            main: self.path("storpool.conf"),
            dir: self.path("storpool.conf.d"),
        }
    }

    fn read(&self) -> Result<Config, ConfigError> {
        config::read(&self.files(), "h", &[])
    }

    /// The error of [`Etc::read`] with its path cut down to what is below `/etc`.
    fn error(&self) -> String {
        let error = self.read().unwrap_err();
        assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
        self.shortened(&error.to_string())
    }

    fn shortened(&self, text: &str) -> String {
        assert!(!text.contains('\n') && !text.contains(TOKEN), "{text}");
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.read().unwrap().warnings;
        warnings.iter().map(|warning| self.shortened(warning)).collect()
    }
}

#[test]
fn a_storpool_host_needs_nothing_of_ours() {
    let etc = Etc::new().file(
        "storpool.conf",
        format!("SP_AUTH_TOKEN={TOKEN}\nSP_CLUSTER_ID=abc.d\n[g]\nSP_OURID=1\n[h]\nSP_OURID=4095\n"),
    );
    let config = etc.read().unwrap();
    assert_eq!(config.api.host, "127.0.0.1");
    assert_eq!(config.api.port, 81);
    assert_eq!(config.api.token.header_value(), format!("Storpool v1:{TOKEN}"));
    assert_eq!(config.client, ClientId::new(4095).unwrap());
    assert_eq!(config.cluster_id.as_deref(), Some("abc.d"));
    assert_eq!(config.spvirt, Settings::default());
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_folder_may_be_missing_and_its_files_need_not_be_files_of_ours() {
    let etc = Etc::with("");
    fs::remove_dir(etc.path("storpool.conf.d")).unwrap();
    assert!(etc.read().is_ok());
    let etc = etc.file("storpool.conf.d", "not a folder");
    assert!(etc.read().is_ok());
}

#[test]
fn doubts_about_who_we_are_are_warnings() {
    let etc = Etc::with("[h]\nSP_OURID=8\n").file("storpool.conf.d/a.conf", "\nSP_OURID=9\n");
    assert_eq!(etc.read().unwrap().client, ClientId::new(9).unwrap());
    assert_eq!(
        etc.warnings(),
        [
            "storpool.conf.d/a.conf:2: SP_OURID 9 overrides storpool.conf:4; os-brick would use the latter: keep one of them"
        ]
    );
    let etc = Etc::with("[h]\nSP_OURID=9\n").file("storpool.conf.d/a.conf", "SP_OURID=9\n");
    assert_eq!(
        etc.warnings(),
        Vec::<String>::new(),
        "the readers agree on the value"
    );

    assert_eq!(
        Etc::with("[H]\nSP_OURID=8\n").warnings(),
        [
            "storpool.conf:2: SP_OURID 7 is meant for every host: its name (uname -n) is h, but the section is named [H]"
        ]
    );
    assert_eq!(Etc::with("[g]\nSP_X=8\n").warnings(), Vec::<String>::new());
}

#[test]
fn other_doubts_are_warnings() {
    assert_eq!(
        Etc::with("SP_AUTH_TOKEN=\"1\"\n").warnings(),
        ["storpool.conf:3: the quotes are sent as part of SP_AUTH_TOKEN: remove them"]
    );
    let etc = Etc::with("SP_CLUSTER_ID=../x\n");
    assert_eq!(etc.read().unwrap().cluster_id, None);
    assert_eq!(
        etc.warnings(),
        ["storpool.conf:3: SP_CLUSTER_ID is ignored: it is not like \"abc.d\""]
    );
}

#[test]
fn the_api_may_be_anywhere() {
    for (host, expected) in [
        ("10.1.2.3", "10.1.2.3"),
        ("api.example.com", "api.example.com"),
        ("fe80::1", "fe80::1"),
        ("[::1]", "::1"),
    ] {
        let config = Etc::with(&format!("SP_API_HTTP_HOST={host}\nSP_API_HTTP_PORT=8080\n"))
            .read()
            .unwrap();
        assert_eq!((config.api.host.as_str(), config.api.port), (expected, 8080));
    }
}

#[test]
fn the_environment_overrides_what_it_may() {
    let etc = Etc::with("SPVIRT_TAKEOVER=never\n");
    let read = |key, value: &str| config::read(&etc.files(), "h", &[(key, value.to_owned())]);
    assert_eq!(read("SP_API_HTTP_HOST", "x").unwrap().api.host, "x");
    assert_eq!(read("SP_API_HTTP_PORT", "82").unwrap().api.port, 82);
    assert_eq!(
        read("SP_AUTH_TOKEN", "2").unwrap().api.token.header_value(),
        "Storpool v1:2"
    );
    assert_eq!(read("SP_OURID", "8").unwrap().client, ClientId::new(7).unwrap());
    assert_eq!(
        read("SPVIRT_TAKEOVER", "always").unwrap().spvirt.takeover,
        Takeover::Never
    );
    let error = read("SP_API_HTTP_PORT", "").unwrap_err().to_string();
    assert!(
        error.starts_with("environment: SP_API_HTTP_PORT must be"),
        "{error}"
    );
}

#[test]
fn our_settings() {
    let text = "SPVIRT_TAKEOVER=always\nSPVIRT_TICKET=nonce\nSPVIRT_DEADLINE=5\nSPVIRT_ATTACH_TIMEOUT=1\n\
                SPVIRT_DOMAINS=opt-in\nSPVIRT_FOLLOW=/var/lib/one:/srv/my disks//x/\n\
                SPVIRT_FILTER=by-id, tune\nSPVIRT_MULTICLUSTER=1\n";
    assert_eq!(
        Etc::with(text).read().unwrap().spvirt,
        Settings {
            takeover: Takeover::Always,
            ticket: Ticket::Nonce,
            deadline: Duration::from_secs(5),
            attach_timeout: Duration::from_secs(1),
            domains: Domains::OptIn,
            follow: vec!["/var/lib/one".into(), "/srv/my disks/x".into()],
            filter: Filter::parse("by-id tune").unwrap(),
            multicluster: true,
        }
    );
    assert_eq!(
        Filter::parse("by-id, tune").unwrap().recipes(),
        [Recipe::ById, Recipe::Tune]
    );
}

#[test]
fn values_our_settings_refuse() {
    for (key, values) in [
        ("SPVIRT_TAKEOVER", vec!["", "Safe", "\"safe\"", "safe # c"]),
        ("SPVIRT_TICKET", vec!["", "none"]),
        (
            "SPVIRT_DEADLINE",
            vec![
                "",
                "4",
                "301",
                "30s",
                "+30",
                "-1",
                "1e2",
                "99999999999999999999999",
            ],
        ),
        ("SPVIRT_ATTACH_TIMEOUT", vec!["", "0", "301"]),
        ("SPVIRT_DOMAINS", vec!["", "optin", "none"]),
        (
            "SPVIRT_FOLLOW",
            vec!["x", "/x:", ":/x", "/x/../y", "/caf\u{fffd}", "/x:y"],
        ),
        (
            "SPVIRT_FILTER",
            vec!["", ",", "on", "off tune", "tune tune", "by-id by-name"],
        ),
        ("SPVIRT_MULTICLUSTER", vec!["", "yes", "01", "true"]),
    ] {
        let rule = KEYS.iter().find(|k| k.name == key).unwrap().allowed;
        for value in values {
            let error = Etc::with(&format!("{key}={value}\n")).error();
            assert_eq!(
                error,
                format!("storpool.conf:3: {key} must be {rule}"),
                "{value:?}"
            );
        }
    }
}

#[test]
fn the_example_says_what_holds_without_it() {
    let example = config::example();
    assert_eq!(Etc::with(&example).read().unwrap().spvirt, Settings::default());
    let on: String = example
        .lines()
        .map(|line| {
            line.strip_prefix("#SPVIRT_")
                .map_or(line.to_owned(), |rest| format!("SPVIRT_{rest}"))
                + "\n"
        })
        .collect();
    assert_eq!(on.matches("\nSPVIRT_").count(), KEYS.len());
    assert_eq!(Etc::with(&on).read().unwrap().spvirt, Settings::default());
}

#[test]
fn cinders_volumes_are_named_as_os_brick_names_them() {
    let operand: Operand = "cinder:0a0b0c0d-1111-2222-3333-444455556666".parse().unwrap();
    let name = |etc: &Etc| config::volume_of(&operand, &etc.files(), "h").map(|volume| volume.api());
    let named = |prefix| format!("{prefix}--volume-0a0b0c0d-1111-2222-3333-444455556666");
    assert_eq!(name(&Etc::new()).unwrap(), named("os"), "without any file");
    assert_eq!(name(&Etc::with("A=b\n")).unwrap(), named("os"));
    let etc = Etc::with("SP_OPENSTACK_VOLUME_PREFIX=all\n[h]\nSP_OPENSTACK_VOLUME_PREFIX=pike\n")
        .file("storpool.conf.d/a.conf", b"SP_OPENSTACK_VOLUME_PREFIX=later\n");
    assert_eq!(
        name(&etc).unwrap(),
        named("pike"),
        "the host's section wins in os-brick"
    );
    let error = name(&Etc::with("SP_OPENSTACK_VOLUME_PREFIX=\"os\"\n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("storpool.conf:3: SP_OPENSTACK_VOLUME_PREFIX must be letters"),
        "{error}"
    );
}

#[test]
fn words_are_read_back_as_written() {
    for takeover in [Takeover::Never, Takeover::Safe, Takeover::Always] {
        assert_eq!(Takeover::parse(takeover.as_str()), Some(takeover));
    }
    assert_eq!(Takeover::parse("SAFE"), None);
}
