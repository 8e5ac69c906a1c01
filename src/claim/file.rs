// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The saved form of a claim: plain structs, apart from the live form, so that the file format changes only
//! when somebody means it to. Pure.

use serde::{Deserialize, Serialize};

use super::{Claim, Entry, Held, Phase, Process};
use crate::volume::{Access, ClientId, DomainUuid, GlobalId, VolumeRef};

/// Version this program writes. A file with another number is [`Entry::Unreadable`]: a downgraded program
/// must not act on what it understands only in part.
const FORMAT: u32 = 1;

/// Only the version, which every format has.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimFile {
    format: u32,
    uuid: DomainUuid,
    domain: String,
    client: ClientId,
    boot: String,
    made: u64,
    daemon: Option<Process>,
    phase: PhaseFile,
    unsure: bool,
    volumes: Vec<HeldFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PhaseFile {
    Acquiring,
    Live,
    Releasing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldFile {
    volume: VolumeRef,
    snapshot: bool,
    global_id: Option<GlobalId>,
    access: Access,
    shareable: bool,
    before: Option<Access>,
    disk: String,
}

/// The bytes of the file.
///
/// # Errors
/// Only if the encoder fails, which plain structs do not make it do.
pub fn encode(claim: &Claim) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(&ClaimFile::from(claim))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a file of the claims folder. `uuid` is from the file name, and the content must agree with it.
#[must_use]
pub fn decode(uuid: &DomainUuid, bytes: Vec<u8>) -> Entry {
    match read(&bytes) {
        Ok(claim) if claim.uuid == *uuid => Entry::Claim(claim),
        Ok(claim) => {
            let why = format!("it is named after {uuid} but speaks of {}", claim.uuid);
            Entry::Unreadable {
                uuid: uuid.clone(),
                why,
                bytes,
            }
        }
        Err(why) => Entry::Unreadable {
            uuid: uuid.clone(),
            why,
            bytes,
        },
    }
}

fn read(bytes: &[u8]) -> Result<Claim, String> {
    let version: Versioned = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if version.format != FORMAT {
        return Err(format!(
            "it has format {}, this program knows {FORMAT}",
            version.format
        ));
    }
    let file: ClaimFile = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    Ok(file.into())
}

impl From<&Claim> for ClaimFile {
    fn from(claim: &Claim) -> Self {
        Self {
            format: FORMAT,
            uuid: claim.uuid.clone(),
            domain: claim.domain.clone(),
            client: claim.client,
            boot: claim.boot.clone(),
            made: claim.made,
            daemon: claim.daemon,
            phase: match claim.phase {
                Phase::Acquiring => PhaseFile::Acquiring,
                Phase::Live => PhaseFile::Live,
                Phase::Releasing => PhaseFile::Releasing,
            },
            unsure: claim.unsure,
            volumes: claim.volumes.iter().map(HeldFile::from).collect(),
        }
    }
}

impl From<ClaimFile> for Claim {
    fn from(file: ClaimFile) -> Self {
        Self {
            uuid: file.uuid,
            domain: file.domain,
            client: file.client,
            boot: file.boot,
            made: file.made,
            daemon: file.daemon,
            phase: match file.phase {
                PhaseFile::Acquiring => Phase::Acquiring,
                PhaseFile::Live => Phase::Live,
                PhaseFile::Releasing => Phase::Releasing,
            },
            unsure: file.unsure,
            volumes: file.volumes.into_iter().map(Held::from).collect(),
        }
    }
}

impl From<&Held> for HeldFile {
    fn from(held: &Held) -> Self {
        let Held {
            volume,
            snapshot,
            global_id,
            access,
            shareable,
            before,
            disk,
        } = held.clone();
        Self {
            volume,
            snapshot,
            global_id,
            access,
            shareable,
            before,
            disk,
        }
    }
}

impl From<HeldFile> for Held {
    fn from(file: HeldFile) -> Self {
        let HeldFile {
            volume,
            snapshot,
            global_id,
            access,
            shareable,
            before,
            disk,
        } = file;
        Self {
            volume,
            snapshot,
            global_id,
            access,
            shareable,
            before,
            disk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::VolumeName;

    fn claim() -> Claim {
        Claim {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            domain: "web\n1".into(),
            client: ClientId::new(5).unwrap(),
            boot: "b".into(),
            made: 12,
            daemon: Some(Process { pid: 3, started: 4 }),
            phase: Phase::Live,
            unsure: false,
            volumes: vec![Held {
                volume: VolumeRef::Name(VolumeName::parse("root").unwrap()),
                snapshot: false,
                global_id: GlobalId::parse("d.n.1"),
                access: Access::Rw,
                shareable: true,
                before: Some(Access::Ro),
                disk: "vda".into(),
            }],
        }
    }

    fn why(bytes: &[u8]) -> String {
        match decode(&claim().uuid, bytes.to_vec()) {
            Entry::Unreadable { why, .. } => why,
            Entry::Claim(_) => panic!("read"),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for phase in [Phase::Acquiring, Phase::Live, Phase::Releasing] {
            let claim = Claim { phase, ..claim() };
            assert_eq!(decode(&claim.uuid, encode(&claim).unwrap()), Entry::Claim(claim));
        }
    }

    #[test]
    fn the_format_on_disk_is_what_it_was() {
        let text = String::from_utf8(encode(&claim()).unwrap()).unwrap();
        for line in [
            r#"  "format": 1,"#,
            r#"  "uuid": "0a0b0c0d-1111-2222-3333-444455556666","#,
            r#"  "phase": "live","#,
            r#"      "volume": {"#,
            r#"        "name": "root""#,
            r#"      "global_id": "d.n.1","#,
            r#"      "before": "ro","#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn damage_and_newer_formats_are_unreadable_and_say_why() {
        let good = encode(&claim()).unwrap();
        for cut in 0..good.len() - 2 {
            assert!(!why(&good[..cut]).is_empty());
        }
        let text = String::from_utf8(good).unwrap();
        assert!(why(text.replace("\"format\": 1", "\"format\": 2").as_bytes()).contains("format 2"));
        assert!(why(text.replace("\"made\"", "\"made_up\"").as_bytes()).contains("made_up"));
        assert!(why(text.replace("\"client\": 5", "\"client\": 5000").as_bytes()).contains("5000"));
        assert!(why(text.replace("0a0b0c0d-", "0a0b0c0e-").as_bytes()).contains("named after"));
        assert!(why(text.replace("d.n.1", "../../x").as_bytes()).contains("global id"));
    }

    #[test]
    fn an_unreadable_claim_protects_what_its_bytes_name() {
        use super::super::Identity;
        let text = String::from_utf8(encode(&claim()).unwrap())
            .unwrap()
            .replace("\"format\": 1", "\"format\": 9");
        let entry = decode(&claim().uuid, text.into_bytes());
        let named = |volume: VolumeRef, id: Option<&str>| {
            entry.names(&Identity {
                volume,
                global_id: id.and_then(GlobalId::parse),
            })
        };
        assert!(entry.protects("any boot"));
        assert!(named(VolumeRef::Name(VolumeName::parse("root").unwrap()), None));
        assert!(named(
            VolumeRef::Name(VolumeName::parse("renamed").unwrap()),
            Some("d.n.1")
        ));
        assert!(named(VolumeRef::Id(GlobalId::parse("d.n.1").unwrap()), None));
        assert!(!named(
            VolumeRef::Name(VolumeName::parse("roo").unwrap()),
            Some("d.n.11")
        ));
    }
}
