// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The table of the grammar and of precedence, `cases.json`, row by row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use spvirt::config::{self, ConfigError, Values};

use super::Etc;

#[derive(Deserialize)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    files: BTreeMap<String, Option<String>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    us: BTreeMap<String, String>,
    os_brick: serde_json::Value,
}

impl Case {
    fn all() -> Vec<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/cases.json");
        let table: Table = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(table.cases.len() >= 100, "the table has lost cases");
        table.cases
    }

    fn etc(&self) -> Etc {
        self.files.iter().fold(Etc::new(), |etc, (name, content)| {
            if let Some(content) = content {
                // One character is one byte, see "about" in the file.
                let bytes: Vec<u8> = content.chars().map(|c| u8::try_from(c).unwrap()).collect();
                etc.file(name, bytes)
            } else {
                fs::create_dir(etc.path(name)).unwrap();
                etc
            }
        })
    }

    fn values(&self, etc: &Etc) -> Result<Values, ConfigError> {
        let env: Vec<_> = self.env.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        config::read_values(&etc.files(), "h", &env)
    }
}

#[test]
fn the_table_row_by_row() {
    for case in Case::all() {
        let etc = case.etc();
        match case.values(&etc) {
            Ok(values) => {
                let read: BTreeMap<String, String> = values
                    .iter()
                    .map(|(k, v)| (k.to_owned(), v.text.clone()))
                    .collect();
                assert_eq!(read, case.us, "{}", case.name);
            }
            Err(error) => {
                let error = etc.shortened(&error.to_string());
                let expected = case.us.get("error");
                let expected = expected.unwrap_or_else(|| panic!("{}: {error}", case.name));
                assert!(error.starts_with(expected.as_str()), "{}: {error}", case.name);
            }
        }
    }
}

/// The second opinion on precedence is that of os-brick, as the table has it from os-brick itself.
#[test]
fn section_first_is_what_os_brick_reads() {
    let cases = Case::all();
    let cases: Vec<_> = cases
        .iter()
        .filter(|case| case.name.contains("this host's section"))
        .collect();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let told = match &case.os_brick {
            serde_json::Value::Object(values) => values["K"].as_str().unwrap(),
            same => {
                assert_eq!(same, "same");
                &case.us["K"]
            }
        };
        let values = case.values(&case.etc()).unwrap();
        assert_eq!(values.get_section_first("K").unwrap().text, told, "{}", case.name);
    }
}
