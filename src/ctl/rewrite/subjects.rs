// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The domains that are to be rewritten, read, and what the recipes have to know about them.

use std::io::{self, IsTerminal as _, Write as _};

use spvirt::recipe::{self, Facts, Recipe};

use super::args::Rewrite;
use super::output::{Line, Outcome};
use super::{names, pools};
use crate::Failure;
use crate::libvirt::{Known, Session, Trouble, Which};

/// A domain that was read, with all passwords.
pub struct Subject {
    pub known: Known,
    /// Its definition, or how it runs when it has none.
    pub inactive: String,
    pub active: bool,
    pub persistent: bool,
    /// How it runs, when that is rewritten too.
    pub running: Option<String>,
}

/// A domain, or the name under which none was found.
pub type Found = Result<Known, (String, Trouble)>;

pub fn find(session: &Session, wanted: Option<&[String]>) -> Result<Vec<Found>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(session.all()?.into_iter().map(Ok).collect());
    };
    let found = wanted
        .iter()
        .map(|name| session.find(name).map_err(|trouble| (name.clone(), trouble)));
    Ok(found.collect())
}

pub fn read(session: &Session, args: &Rewrite, known: Known) -> Result<Subject, Trouble> {
    let described = session.describe(&known.uuid)?;
    let which = match (&args.migrate_to, args.update) {
        (Some(_), _) => Some(Which::Migratable),
        (None, true) => Some(Which::Live),
        (None, false) => None,
    };
    let running = match which {
        Some(which) if described.active => Some(session.running(&known.uuid, which)?),
        _ => None,
    };
    Ok(Subject {
        known,
        inactive: described.inactive,
        active: described.active,
        persistent: described.persistent,
        running,
    })
}

/// What the recipes need to know, for all domains at once.
pub fn facts(
    session: &Session,
    args: &Rewrite,
    recipes: &[Recipe],
    subjects: &[Subject],
) -> Result<Facts, Failure> {
    let mut asked = Vec::new();
    for subject in subjects {
        for xml in [Some(&subject.inactive), subject.running.as_ref()]
            .into_iter()
            .flatten()
        {
            // One that is not understood is reported when its turn comes.
            asked.extend(recipe::asks_for(xml.as_bytes(), recipes).unwrap_or_default());
        }
    }
    asked.sort_unstable();
    asked.dedup();
    let described = if recipes.contains(&Recipe::Block) {
        session.pools()?
    } else {
        Vec::new()
    };
    Ok(Facts {
        names: names(&asked)?,
        pools: pools(args, described),
        running: false,
    })
}

pub fn failed(name: &str, why: String) -> Line {
    Line {
        name: name.to_owned(),
        uuid: None,
        result: Outcome::Failed,
        why,
        left: true,
        notes: Vec::new(),
        diff: String::new(),
        command: None,
    }
}

/// How far it is, on a terminal, for who looks at it.
pub struct Progress {
    shown: bool,
}

impl Progress {
    pub fn new(args: &Rewrite) -> Self {
        let many = args.all || args.subjects.len() > 1;
        Self {
            shown: many && !args.quiet && io::stderr().is_terminal(),
        }
    }

    pub fn show(&self, doing: &str, number: usize, name: &str) {
        if self.shown {
            let _ = write!(
                io::stderr(),
                "\r\x1b[K{} {doing}: {}",
                number + 1,
                name.escape_debug()
            );
        }
    }

    pub fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
