// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The configuration: can it be read, is there doubt about who this host is, and who else can read the token?

use super::{Finding, Owned};
use crate::config::{Config, ConfigError};

const TOPIC: &str = "config";

/// One of StorPool's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Owner and mode of the file itself, behind any link.
    pub owned: Owned,
    /// Whether `SP_AUTH_TOKEN` is set in it.
    pub has_token: bool,
}

/// Judges the configuration and its files.
#[must_use]
pub fn judge(config: &Result<Config, ConfigError>, files: &[ConfigFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let read = |who: &str| Finding::pass(TOPIC, format!("that the configuration can be read{who}"));
    match config {
        Err(error) => findings.push(read("").fail(error.to_string())),
        Ok(config) => {
            findings.push(read(&format!(" (client {})", config.client)));
            let doubts = || Finding::pass(TOPIC, "that all readers of it would agree");
            if config.warnings.is_empty() {
                findings.push(doubts());
            }
            let warnings = config.warnings.iter();
            findings.extend(warnings.map(|warning| doubts().warn(warning)));
        }
    }
    findings.push(token(files));
    findings
}

/// Whoever reads the token can do with the volumes of the cluster what they like; whoever writes the file can send
/// it, and this host's attachments, anywhere.
fn token(files: &[ConfigFile]) -> Finding {
    let finding = Finding::pass(TOPIC, "that only root and its group can read the token");
    let name = |file: &ConfigFile| file.owned.path.display().to_string();
    let writable = |file: &&ConfigFile| file.owned.rights() & 0o002 != 0;
    if let Some(file) = files.iter().find(writable) {
        let name = name(file);
        return finding.fail(format!("everybody can write to {name}: chmod o-rwx {name}"));
    }
    if let Some(file) = files.iter().find(|file| file.owned.uid != 0) {
        let (name, uid) = (name(file), file.owned.uid);
        return finding.warn(format!("{name} belongs to user {uid}: chown root {name}"));
    }
    let readable = |file: &&ConfigFile| file.has_token && file.owned.rights() & 0o004 != 0;
    match files.iter().find(readable).map(name) {
        Some(name) => finding.warn(format!("everybody can read {name}: chmod o-r {name}")),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FILE, Verdict};
    use super::*;
    use crate::config::{Api, Settings, Token};
    use crate::volume::ClientId;

    fn config(warnings: &[&str]) -> Config {
        Config {
            api: Api {
                host: "127.0.0.1".into(),
                port: 81,
                token: Token::parse("secret").unwrap(),
            },
            client: ClientId::new(5).unwrap(),
            cluster_id: None,
            spvirt: Settings::default(),
            warnings: warnings.iter().map(|&w| w.to_owned()).collect(),
        }
    }

    fn file(mode: u32, uid: u32, has_token: bool) -> ConfigFile {
        ConfigFile {
            owned: Owned {
                path: "/etc/storpool.conf".into(),
                mode: FILE | mode,
                uid,
            },
            has_token,
        }
    }

    #[test]
    fn a_configuration_is_read_or_says_why_not() {
        let good = judge(&Ok(config(&[])), &[]);
        assert!(good.iter().all(|f| f.verdict == Verdict::Pass), "{good:?}");
        assert_eq!(good[0].what, "that the configuration can be read (client 5)");
        let bad = judge(&Err(ConfigError::NoToken("/etc/storpool.conf".into())), &[]);
        assert_eq!(bad[0].verdict, Verdict::Fail);
        assert!(bad[0].advice.contains("SP_AUTH_TOKEN is not set"), "{bad:?}");
    }

    #[test]
    fn each_doubt_is_a_warning_of_its_own() {
        let findings = judge(&Ok(config(&["one", "two"])), &[]);
        let warned: Vec<_> = findings
            .iter()
            .filter(|f| f.verdict == Verdict::Warn)
            .map(|f| f.advice.as_str())
            .collect();
        assert_eq!(warned, ["one", "two"]);
    }

    #[test]
    fn an_open_token_is_seen() {
        for (files, verdict, advice) in [
            (
                vec![file(0o640, 0, true), file(0o644, 0, false)],
                Verdict::Pass,
                "",
            ),
            (vec![file(0o644, 0, true)], Verdict::Warn, "everybody can read"),
            (vec![file(0o600, 7, true)], Verdict::Warn, "belongs to user 7"),
            (vec![file(0o602, 0, false)], Verdict::Fail, "everybody can write"),
        ] {
            let found = token(&files);
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.advice.contains(advice), "{found:?}");
        }
    }
}
