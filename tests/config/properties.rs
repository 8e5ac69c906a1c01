// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Made-up files: any bytes are safe, and what is written is what is read.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spvirt::config;

use super::Etc;

/// A line of a made-up file, and what it says.
#[derive(Debug, Clone)]
enum Line {
    Noise(String),
    Section(String),
    Pair(String, String),
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        "[ \t]*([#;][^\r\n]*)?".prop_map(Line::Noise),
        "[gh]".prop_map(Line::Section),
        (
            "[A-C][#;:+]?",
            "([!-~&&[^\\\\]]([ -~&&[^\\\\]]*[!-~&&[^\\\\]])?)?"
        )
            .prop_map(|(key, value)| Line::Pair(key, value)),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(main in any::<Vec<u8>>(), extra in "[ \t\r\n=\\\\\\[\\]#;hKSPVIRT_]*") {
        let etc = Etc::new().file("storpool.conf", main).file("storpool.conf.d/a.conf", extra);
        if let Err(error) = etc.read() {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn a_written_file_is_read_as_meant(
        files in prop::collection::vec(prop::collection::vec((line(), "[ \t]{0,2}", "\r?\n"), 0..8), 1..4),
    ) {
        let mut etc = Etc::new();
        let mut expected = BTreeMap::new();
        for (i, lines) in files.iter().enumerate() {
            let mut text = String::new();
            let mut section = None;
            for (line, blank, end) in lines {
                let shown = match line {
                    Line::Noise(noise) => noise.clone(),
                    Line::Section(name) => format!("{blank}[{blank}{name}{blank}]{blank}"),
                    Line::Pair(key, value) => format!("{blank}{key}{blank}={blank}{value}{blank}"),
                };
                text.push_str(&shown);
                text.push_str(end);
                match line {
                    Line::Noise(_) => {}
                    Line::Section(name) => section = Some(name.as_str()),
                    Line::Pair(key, value) => {
                        if section.is_none_or(|name| name == "h") {
                            expected.insert(key.clone(), value.clone());
                        }
                    }
                }
            }
            let name = if i == 0 { "storpool.conf".into() } else { format!("storpool.conf.d/{i}.conf") };
            etc = etc.file(&name, text);
        }
        let values = config::read_values(&etc.files(), "h", &[]).unwrap();
        let read: BTreeMap<_, _> = values.iter().map(|(k, v)| (k.to_owned(), v.text.clone())).collect();
        prop_assert_eq!(read, expected);
    }
}
