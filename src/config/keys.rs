// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! spvirt's own keys, which live in StorPool's files: one table that the parser, the errors and the
//! example file share.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::values::Values;

/// An enumeration whose values are words, as written in a file or a metadata attribute.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// The value that this word stands for. Words are in small letters.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// The word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What to do when another client holds a volume that a domain wants to write.
    Takeover {
        /// Refuse.
        Never = "never",
        /// Take it from a client that does not have it open, or that is down.
        #[default]
        Safe = "safe",
        /// Take it. Only for sites where something else fences.
        Always = "always",
    }
}

words! {
    /// How a migration's destination proves that it was announced.
    Ticket {
        /// By its age.
        #[default]
        Time = "time",
        /// By a number that only this migration has.
        Nonce = "nonce",
    }
}

words! {
    /// Which domains are ours.
    Domains {
        /// All but those another manager attaches for (Nova, OpenNebula, oVirt).
        #[default]
        Auto = "auto",
        /// All.
        All = "all",
        /// Only those that say so in their metadata.
        OptIn = "opt-in",
    }
}

words! {
    /// One thing the rewrite filter does to the XML of a domain that migrates or is restored.
    Recipe {
        /// Set the driver attributes that suit StorPool.
        #[default]
        Tune = "tune",
        /// Name volumes by global id.
        ById = "by-id",
        /// Name volumes by name.
        ByName = "by-name",
    }
}

/// The rewrite filter: what it does, in the order given. Off when empty, which is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter(Vec<Recipe>);

impl Filter {
    /// Reads `off`, or recipes separated by commas or blanks: each once, and not both `by-id` and `by-name`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self::default());
        }
        let mut recipes = Vec::new();
        for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            let recipe = Recipe::parse(word)?;
            if recipes.contains(&recipe) {
                return None;
            }
            recipes.push(recipe);
        }
        let contradicts = recipes.contains(&Recipe::ById) && recipes.contains(&Recipe::ByName);
        (!recipes.is_empty() && !contradicts).then_some(Self(recipes))
    }

    /// What to do, in order; nothing when the filter is off.
    #[must_use]
    pub fn recipes(&self) -> &[Recipe] {
        &self.0
    }
}

/// spvirt's own settings. `Default` is what an untouched StorPool host gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SPVIRT_TAKEOVER`
    pub takeover: Takeover,
    /// `SPVIRT_TICKET`
    pub ticket: Ticket,
    /// `SPVIRT_DEADLINE`: one hook call ends within this time, 5 to 300 s.
    pub deadline: Duration,
    /// `SPVIRT_ATTACH_TIMEOUT`: how long StorPool may wait for this host's client, 1 to 300 s.
    pub attach_timeout: Duration,
    /// `SPVIRT_DOMAINS`
    pub domains: Domains,
    /// `SPVIRT_FOLLOW`: folders below which links to volumes are followed; absolute, without `..`.
    pub follow: Vec<PathBuf>,
    /// `SPVIRT_FILTER`
    pub filter: Filter,
    /// `SPVIRT_MULTICLUSTER`
    pub multicluster: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            takeover: Takeover::default(),
            ticket: Ticket::default(),
            deadline: Duration::from_secs(30),
            attach_timeout: Duration::from_secs(20),
            domains: Domains::default(),
            follow: Vec::new(),
            filter: Filter::default(),
            multicluster: false,
        }
    }
}

impl Settings {
    /// The settings in `values`. Every key that starts like ours must be ours, in capitals as written here.
    pub(super) fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for (name, value) in values.iter() {
            if !name.to_ascii_uppercase().starts_with("SPVIRT_") {
                continue;
            }
            let at = || value.origin.clone();
            let key = KEYS.iter().find(|key| key.name == name);
            let key = key.ok_or_else(|| ConfigError::UnknownKey(at(), name.to_owned()))?;
            (key.set)(&mut settings, &value.text).ok_or_else(|| ConfigError::BadValue {
                at: at(),
                key: key.name,
                allowed: key.allowed,
            })?;
        }
        Ok(settings)
    }
}

/// One of our keys.
#[derive(Debug)]
pub struct Key {
    /// As written in a file.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What may be written, to be read after "must be".
    pub allowed: &'static str,
    /// What it is for, in one line.
    pub help: &'static str,
    /// Puts a value into the settings; `None` if it is not allowed.
    set: fn(&mut Settings, &str) -> Option<()>,
}

/// All of our keys, in the order of the example file.
pub const KEYS: &[Key] = &[
    Key {
        name: "SPVIRT_TAKEOVER",
        default: "safe",
        allowed: "never, safe or always",
        help: "What to do when another host holds a volume that a starting domain wants to write.",
        set: |s, text| Takeover::parse(text).map(|v| s.takeover = v),
    },
    Key {
        name: "SPVIRT_TICKET",
        default: "time",
        allowed: "time or nonce",
        help: "How an incoming migration is recognised.",
        set: |s, text| Ticket::parse(text).map(|v| s.ticket = v),
    },
    Key {
        name: "SPVIRT_DEADLINE",
        default: "30",
        allowed: "a number of seconds from 5 to 300",
        help: "One hook call ends within this time, whatever StorPool does.",
        set: |s, text| seconds(text, 5).map(|v| s.deadline = v),
    },
    Key {
        name: "SPVIRT_ATTACH_TIMEOUT",
        default: "20",
        allowed: "a number of seconds from 1 to 300",
        help: "How long to wait for this host's storpool_block; less when the deadline is nearer.",
        set: |s, text| seconds(text, 1).map(|v| s.attach_timeout = v),
    },
    Key {
        name: "SPVIRT_DOMAINS",
        default: "auto",
        allowed: "auto, all or opt-in",
        help: "Which domains are served; auto leaves out those of Nova, OpenNebula and oVirt.",
        set: |s, text| Domains::parse(text).map(|v| s.domains = v),
    },
    Key {
        name: "SPVIRT_FOLLOW",
        default: "",
        allowed: "absolute folders without \"..\", separated by \":\", or empty",
        help: "Folders with symbolic links to StorPool devices; elsewhere no link is followed.",
        set: |s, text| folders(text).map(|v| s.follow = v),
    },
    Key {
        name: "SPVIRT_FILTER",
        default: "off",
        allowed: "off, or some of tune, by-id, by-name (not both of the last two)",
        help: "What to change in the XML of a domain that migrates in or is restored.",
        set: |s, text| Filter::parse(text).map(|v| s.filter = v),
    },
    Key {
        name: "SPVIRT_MULTICLUSTER",
        default: "0",
        allowed: "0 or 1",
        help: "1: also find volumes in the other clusters of the same location.",
        set: |s, text| {
            s.multicluster = match text {
                "0" => false,
                "1" => true,
                _ => return None,
            };
            Some(())
        },
    },
];

/// The names of all our keys, for an error text.
pub(super) fn known_keys() -> String {
    let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    names.join(" ")
}

/// An `spvirt.conf` in which every key stands, commented out, with its default.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of spvirt. Every line that is commented out shows the default.\n\
         # As in all of StorPool's files: KEY=VALUE, no quotes, no comment after a value;\n\
         # a section [NAME] holds what is only for the host whose `uname -n` is NAME.\n",
    );
    for Key {
        name,
        default,
        allowed,
        help,
        ..
    } in KEYS
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n# {help}\n# Must be {allowed}.\n#{name}={default}\n");
    }
    text
}

/// Whole seconds from `least` to 300.
fn seconds(text: &str, least: u64) -> Option<Duration> {
    let seconds = super::decimal(text)?;
    (least..=300)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

/// Folders as in `PATH`: a blank is part of a name, a colon cannot be.
fn folders(text: &str) -> Option<Vec<PathBuf>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(':').map(folder).collect()
}

fn folder(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let plain = path.components().all(|part| part != Component::ParentDir);
    // U+FFFD stands for bytes that are not UTF-8, NUL is in no path.
    let legal = path.is_absolute() && plain && !text.contains(['\u{fffd}', '\0']);
    legal.then(|| path.components().collect())
}
