// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The configuration: StorPool's own files `/etc/storpool.conf` and `/etc/storpool.conf.d/*.conf`.
//!
//! A working StorPool host needs nothing more. spvirt's settings are keys in the same files, `SPVIRT_*`.
//!
//! `files` is the only I/O; `ini` the grammar; `values` the precedence; `keys` our own settings; this file
//! says what of StorPool's own keys we need. The environment is never read here: the hook has none of its
//! own, and the helper passes in what [`OVERRIDABLE`] names.
//!
//! Only what applies to this host is judged: the unnamed parts and the section named like the host. What
//! stands in another host's section must be in the grammar and is otherwise none of our business.

mod error;
mod files;
mod ini;
mod keys;
mod values;

use std::fmt;

pub use error::{ConfigError, Origin};
pub use files::{FILE_MAX, Files};
pub use keys::{Domains, Filter, KEYS, Key, Recipe, Settings, Takeover, Ticket, example};
pub use values::{Value, Values};

use crate::operand::{CINDER_PREFIX, Operand};
use crate::volume::{ClientId, VolumeRef};
use error::OneLine;

/// The keys that an environment variable of the same name overrides in StorPool's own tools, even when it
/// is set to nothing. `SP_OURID` is not among them.
pub const OVERRIDABLE: [&str; 3] = ["SP_AUTH_TOKEN", "SP_API_HTTP_HOST", "SP_API_HTTP_PORT"];

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 81;

/// Everything the files say that we need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How to reach the API.
    pub api: Api,
    /// Which StorPool client this host is (`SP_OURID`).
    pub client: ClientId,
    /// Which cluster this host is in (`SP_CLUSTER_ID`), if the files say so.
    pub cluster_id: Option<String>,
    /// Our own settings.
    pub spvirt: Settings,
    /// What works but looks wrong, one line each, for the log.
    pub warnings: Vec<String>,
}

/// How to reach the API: plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// `SP_API_HTTP_HOST`: a host name or an address; an IPv6 address is without brackets.
    pub host: String,
    /// `SP_API_HTTP_PORT`
    pub port: u16,
    /// `SP_AUTH_TOKEN`
    pub token: Token,
}

/// The secret that opens the API. Neither `Debug` nor `Display` shows it, so no log or error can.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token, if `text` can be one: visible ASCII, so that it cannot break out of its header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let visible = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        visible.then(|| Self(text.to_owned()))
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn header_value(&self) -> String {
        format!("Storpool v1:{}", self.0)
    }

    /// The text without the token: a server may quote what it was sent, and nothing that is printed or logged
    /// may show it.
    #[must_use]
    pub fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, "(token)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Reads the configuration of the host whose `uname -n` is `host`.
///
/// `overrides` are variables of the environment; those that [`OVERRIDABLE`] does not name are ignored.
/// The hook passes none.
pub fn read(files: &Files, host: &str, overrides: &[(&str, String)]) -> Result<Config, ConfigError> {
    Config::from_values(&read_values(files, host, overrides)?)
}

/// Reads the files and merges them for `host`, without judging any value. Arguments as for [`read`].
pub fn read_values(files: &Files, host: &str, overrides: &[(&str, String)]) -> Result<Values, ConfigError> {
    let sources: Result<Vec<_>, _> = files
        .list()?
        .into_iter()
        .map(|path| files::text(&path).map(|text| (path, text)))
        .collect();
    let mut values = Values::merge(&sources?, host)?;
    for (key, text) in overrides {
        if OVERRIDABLE.contains(key) {
            values.set(key, text);
        }
    }
    Ok(values)
}

/// The volume that an operand of a command line names, on the host whose `uname -n` is `host`.
///
/// Only Cinder's depend on the files, and are called `os--volume-UUID` where there are none: their names begin as
/// `SP_OPENSTACK_VOLUME_PREFIX` says, read as os-brick reads it, because os-brick looks for them so.
pub fn volume_of(operand: &Operand, files: &Files, host: &str) -> Result<VolumeRef, ConfigError> {
    const KEY: &str = "SP_OPENSTACK_VOLUME_PREFIX";
    let values = match operand {
        Operand::Volume(volume) => return Ok(volume.clone()),
        Operand::Cinder(_) => match read_values(files, host, &[]) {
            Err(ConfigError::Missing(_)) => None,
            values => Some(values?),
        },
    };
    let value = values.as_ref().and_then(|values| values.get_section_first(KEY));
    let prefix = value.map_or(CINDER_PREFIX, |value| &value.text);
    operand.volume(prefix).ok_or_else(|| ConfigError::BadValue {
        at: value.map_or(Origin::Environment, |value| value.origin.clone()),
        key: KEY,
        allowed: "letters, digits and _.:-, without quotes: the names of volumes start with it",
    })
}

impl Config {
    /// What the values mean. Pure.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        Ok(Self {
            api: Api {
                host: api_host(values)?,
                port: api_port(values)?,
                token: token(values, &mut warnings)?,
            },
            client: client(values, &mut warnings)?,
            cluster_id: cluster_id(values, &mut warnings),
            spvirt: Settings::from_values(values)?,
            warnings,
        })
    }
}

/// The parsed value of a StorPool key, `None` when it is not set.
fn parsed<T>(
    values: &Values,
    key: &'static str,
    allowed: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = values.get(key) else {
        return Ok(None);
    };
    let bad = || ConfigError::BadValue {
        at: value.origin.clone(),
        key,
        allowed,
    };
    parse(&value.text).ok_or_else(bad).map(Some)
}

/// What the URL of every request, and with it the token, goes to: nothing that could bend a URL may pass.
fn api_host(values: &Values) -> Result<String, ConfigError> {
    let allowed = "a host name or an address, without quotes and without http:// or a port";
    let host = parsed(values, "SP_API_HTTP_HOST", allowed, |text| {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<std::net::Ipv6Addr>() {
            return Some(address.to_string());
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        (!text.is_empty() && text.bytes().all(legal)).then(|| text.to_owned())
    })?;
    Ok(host.unwrap_or_else(|| DEFAULT_HOST.to_owned()))
}

fn api_port(values: &Values) -> Result<u16, ConfigError> {
    let port = parsed(
        values,
        "SP_API_HTTP_PORT",
        "a port number from 1 to 65535, without quotes",
        |text| u16::try_from(decimal(text)?).ok().filter(|port| *port > 0),
    )?;
    Ok(port.unwrap_or(DEFAULT_PORT))
}

fn token(values: &Values, warnings: &mut Vec<String>) -> Result<Token, ConfigError> {
    let allowed = "the token alone: not empty, no blanks, no letters outside ASCII";
    let token = parsed(values, "SP_AUTH_TOKEN", allowed, Token::parse)?;
    if let Some(value) = values
        .get("SP_AUTH_TOKEN")
        .filter(|value| value.text.starts_with(['"', '\'']))
    {
        let at = &value.origin;
        warnings.push(format!(
            "{at}: the quotes are sent as part of SP_AUTH_TOKEN: remove them"
        ));
    }
    token.ok_or_else(|| ConfigError::NoToken(values.main_file().to_owned()))
}

/// Who we are. A wrong answer attaches volumes to another host, so every doubt is a warning.
fn client(values: &Values, warnings: &mut Vec<String>) -> Result<ClientId, ConfigError> {
    const KEY: &str = "SP_OURID";
    let id = |text: &str| ClientId::new(u16::try_from(decimal(text)?).ok()?);
    let client = parsed(values, KEY, "a client number from 1 to 4095, without quotes", id)?;
    let (Some(client), Some(ours)) = (client, values.get(KEY)) else {
        return Err(ConfigError::NoClientId {
            main: values.main_file().to_owned(),
            hint: no_section_hint(values),
        });
    };
    let theirs = values.get_section_first(KEY).unwrap_or(ours);
    if theirs.text != ours.text {
        warnings.push(format!(
            "{at}: SP_OURID {client} overrides {other}; os-brick would use the latter: keep one of them",
            at = ours.origin,
            other = theirs.origin,
        ));
    } else if !theirs.of_host && values.known_hosts().next().is_some() {
        warnings.push(format!(
            "{at}: SP_OURID {client} is meant for every host: {hint}",
            at = ours.origin,
            hint = no_section_hint(values),
        ));
    }
    Ok(client)
}

/// Why no section gave this host its number: sections are often named by the other form of its name.
fn no_section_hint(values: &Values) -> String {
    let host = values.host();
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    match values.known_hosts().find(|name| short(name) == short(host)) {
        Some(name) if name != host => format!(
            "its name (uname -n) is {}, but the section is named [{}]",
            OneLine(host),
            OneLine(name)
        ),
        _ => format!("add it in a section [{}], its name by uname -n", OneLine(host)),
    }
}

fn cluster_id(values: &Values, warnings: &mut Vec<String>) -> Option<String> {
    let value = values
        .get("SP_CLUSTER_ID")
        .filter(|value| !value.text.is_empty())?;
    if value.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
        return Some(value.text.clone());
    }
    warnings.push(format!(
        "{}: SP_CLUSTER_ID is ignored: it is not like \"abc.d\"",
        value.origin
    ));
    None
}

/// A number in plain decimal digits: no sign, no blanks, no quotes.
fn decimal(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}
