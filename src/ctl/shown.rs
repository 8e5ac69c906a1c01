// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How things are shown: words for people, JSON for programs.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use spvirt::api::Reassign;
use spvirt::claim::Claim;
use spvirt::policy::Want;
use spvirt::preview::{Act, Preview};
use spvirt::volume::{Access, VolumeRef};

use crate::Failure;

/// One step of a plan.
#[derive(Debug, Serialize)]
pub struct Step {
    /// `request`, `wait` or `ask_who_is_down`.
    does: &'static str,
    /// The items of the request, as StorPool gets them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request: Vec<Value>,
    /// The same in words.
    words: Vec<String>,
    /// What must be so, which only the attempt tells.
    only_if: Option<String>,
}

/// The steps of a preview. `name` says what a volume is called.
pub fn steps(preview: &Preview, name: &dyn Fn(&VolumeRef) -> String) -> Vec<Step> {
    let step = |step: &spvirt::preview::Move| Step {
        only_if: step.only_if.clone(),
        ..act(&step.act, name)
    };
    preview.moves.iter().map(step).collect()
}

/// One request.
pub fn request(items: &[Reassign], name: &dyn Fn(&VolumeRef) -> String) -> Step {
    act(&Act::Ask(items.to_vec()), name)
}

fn act(act: &Act, name: &dyn Fn(&VolumeRef) -> String) -> Step {
    let (does, request) = match act {
        Act::Ask(items) => ("request", items.iter().map(item).collect()),
        Act::Wait(_) => ("wait", Vec::new()),
        Act::AskWhoIsDown { .. } => ("ask_who_is_down", Vec::new()),
    };
    Step {
        does,
        request,
        words: act.words(name),
        only_if: None,
    }
}

/// An item as StorPool gets it.
fn item(item: &Reassign) -> Value {
    let kind = if item.object.snapshot {
        "snapshot"
    } else {
        "volume"
    };
    let mut json = Map::new();
    json.insert(kind.to_owned(), json!(item.object.volume.api()));
    if let Some((client, access)) = item.attach {
        json.insert(access.to_string(), json!([client]));
    }
    if !item.detach.is_empty() {
        json.insert("detach".to_owned(), json!(item.detach));
    }
    if item.force {
        json.insert("force".to_owned(), json!(true));
    }
    Value::Object(json)
}

/// Writes steps with their numbers.
pub fn write_steps(out: &mut impl Write, steps: &[Step]) -> Result<(), Failure> {
    for (i, step) in steps.iter().enumerate() {
        let condition = step
            .only_if
            .as_ref()
            .map(|condition| format!(" (only if {condition}; else refused)"));
        for (j, words) in step.words.iter().enumerate() {
            let number = if j == 0 {
                format!("{}.", i + 1)
            } else {
                String::new()
            };
            let last = j + 1 == step.words.len();
            let condition = condition.as_deref().filter(|_| last).unwrap_or_default();
            writeln!(out, "  {number:<3} {words}{condition}")?;
        }
    }
    Ok(())
}

/// What a domain calls its volumes, by the references of requests.
pub fn names_of_wants(wants: &[Want]) -> impl Fn(&VolumeRef) -> String {
    let names = wants
        .iter()
        .map(|want| (want.object().volume, want.used.volume.api()));
    lookup(names.collect())
}

/// What a claim calls its volumes, by the references of requests.
pub fn names_of_claim(claim: &Claim) -> impl Fn(&VolumeRef) -> String {
    let volumes = claim.volumes.iter();
    lookup(
        volumes
            .map(|held| (held.reference(), held.volume.api()))
            .collect(),
    )
}

fn lookup(names: Vec<(VolumeRef, String)>) -> impl Fn(&VolumeRef) -> String {
    move |volume: &VolumeRef| {
        let mut names = names.iter();
        let known = names.find(|(reference, _)| reference == volume);
        known.map_or_else(|| volume.api(), |(_, name)| name.clone())
    }
}

/// Writes a value as JSON.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    Ok(writeln!(out, "{text}")?)
}

/// A text that came from elsewhere, without anything a terminal would act on.
pub fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

/// As [`plain`], for a sentence: quotation marks stay.
pub fn plain_line(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(plain).collect()
}

/// `rw`, `ro` or `no`.
pub fn or_no(access: Option<Access>) -> String {
    access.map_or_else(|| "no".to_owned(), |access| access.to_string())
}

/// Writes columns; nothing for no rows.
pub fn table<const N: usize>(
    out: &mut impl Write,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    if table.row_count() > 0 {
        writeln!(out, "{table}")?;
    }
    Ok(())
}
