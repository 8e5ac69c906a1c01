// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The filter: what libvirt is to read instead of the XML it sent. Nothing unless a byte changed, because any output
//! taints the domain; and nothing when anything goes wrong, because a migration is worth more than its cache mode.

use std::time::{Duration, Instant};

use super::input::Input;
use crate::config::Config;
use crate::domain::Domain;
use crate::filter;
use crate::host::Host;
use crate::recipe::{self, Facts, Names};

/// How much of a call's time the filter may take at most: the other host waits, and a ticket is left only afterwards.
const MOST: Duration = Duration::from_secs(5);

/// The domain's XML after the filter, if that changes it.
pub(super) fn rewritten(
    host: &Host,
    config: &Config,
    domain: &Domain,
    input: &Input,
    began: Instant,
) -> Option<Vec<u8>> {
    match rewrite(host, config, domain, input, began) {
        Ok(xml) => xml,
        Err(why) => {
            log::error!("the filter leaves the XML as it is: {why}");
            None
        }
    }
}

fn rewrite(
    host: &Host,
    config: &Config,
    domain: &Domain,
    input: &Input,
    began: Instant,
) -> Result<Option<Vec<u8>>, String> {
    let recipes = filter::recipes(domain, &config.spvirt)?;
    if recipes.is_empty() {
        return Ok(None);
    }
    let asked = recipe::asks_for(input.bytes(), &recipes).map_err(|error| input.place(error))?;
    let until = began + MOST.min(config.spvirt.deadline / 3);
    let described = host.resolve(&asked, until).map_err(|error| error.to_string())?;
    let facts = Facts {
        names: Names::new(described),
        // Its guest goes on with what it sees now.
        running: true,
        ..Facts::default()
    };
    let rewritten = recipe::rewrite(input.bytes(), &recipes, &facts).map_err(|why| why.to_string())?;
    for note in &rewritten.notes {
        log::warn!("filter: {}", note.text);
    }
    let changed = rewritten.xml != input.bytes();
    if changed {
        log::info!("the filter changed the XML");
    }
    Ok(changed.then_some(rewritten.xml))
}
