// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Which rewrites an incoming or restored domain gets (`SPVIRT_FILTER`). Pure.
//!
//! Only what libvirt's ABI check lets pass, or it would refuse the migration: sources, and what the host does with
//! them. The disks, their targets, serial numbers and queues are the guest's.

use crate::config::{self, Settings};
use crate::domain::Domain;
use crate::recipe::{Form, Recipe, Tune};

/// The recipes for `domain`: those of its own metadata, else those of the host; none when the filter is off.
///
/// # Errors
/// When the metadata says something that is no filter: what is wrong with it, in words.
pub fn recipes(domain: &Domain, settings: &Settings) -> Result<Vec<Recipe>, String> {
    let own = domain.settings.filter.as_deref().map(|text| {
        config::Filter::parse(text).ok_or_else(|| {
            format!(
                "filter={text:?} in its metadata is none: it may be \"off\", or some of tune, by-id, by-name"
            )
        })
    });
    let filter = own.transpose()?;
    let words = filter.as_ref().unwrap_or(&settings.filter).recipes();
    Ok(words.iter().copied().map(recipe).collect())
}

fn recipe(word: config::Recipe) -> Recipe {
    match word {
        // The plain one: no iothread, which the other host may not have, and nothing that the guest sees.
        config::Recipe::Tune => Recipe::Tune(Tune::default()),
        config::Recipe::ById => Recipe::To(Form::ById),
        config::Recipe::ByName => Recipe::To(Form::ByName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_overrules_the_host() {
        let settings = |text: &str| Settings {
            filter: config::Filter::parse(text).unwrap(),
            ..Settings::default()
        };
        let domain = |filter: Option<&str>| Domain {
            settings: crate::domain::Settings {
                filter: filter.map(str::to_owned),
                ..Default::default()
            },
            ..Domain::default()
        };
        let by_id = Recipe::To(Form::ById);
        let tune = Recipe::Tune(Tune::default());
        for (host, own, expected) in [
            ("off", None, &[][..]),
            ("by-id", None, std::slice::from_ref(&by_id)),
            ("tune by-id", None, &[tune.clone(), by_id.clone()]),
            ("off", Some("by-id"), std::slice::from_ref(&by_id)),
            ("by-id", Some("off"), &[]),
            ("by-id", Some("tune"), std::slice::from_ref(&tune)),
            ("off", Some("by-name"), &[Recipe::To(Form::ByName)]),
        ] {
            assert_eq!(
                recipes(&domain(own), &settings(host)).unwrap(),
                expected,
                "{host} {own:?}"
            );
        }
        let why = recipes(&domain(Some("all")), &settings("off")).unwrap_err();
        assert!(why.contains("filter=\"all\""), "{why}");
    }
}
