// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Rewriting libvirt's domains: all are read, StorPool is asked once, then each is shown, defined or changed.

use std::io::{self, BufRead as _, Write};

use spvirt::domain::without_secrets;
use spvirt::recipe::{self, Facts, NoteKind, Recipe, Rewritten};

use super::args::Rewrite;
use super::output::{self, Line, NO_CHANGE, Outcome, unified_diff};
use super::subjects::{Progress, Subject, facts, failed, find, read};
use super::{because, schema};
use crate::libvirt::Session;
use crate::{Failure, Verdict, backup, migrate};

/// Rewrites the domains of these names, or all.
pub fn run(
    out: &mut impl Write,
    uri: &str,
    args: &Rewrite,
    recipes: &[Recipe],
    wanted: Option<&[String]>,
) -> Result<Verdict, Failure> {
    let session = Session::new(uri);
    let mut lines = Vec::new();
    let mut subjects = Vec::new();
    let progress = Progress::new(args);
    for found in find(&session, wanted)? {
        let (name, read) = match found {
            Ok(known) => (known.name.clone(), read(&session, args, known)),
            Err((name, trouble)) => (name, Err(trouble)),
        };
        progress.show("read", subjects.len() + lines.len(), &name);
        match read {
            Ok(subject) => subjects.push(subject),
            Err(trouble) => lines.push(failed(&name, trouble.to_string())),
        }
    }
    let facts = facts(&session, args, recipes, &subjects)?;
    let several = subjects.len() + lines.len() != 1;
    for (number, subject) in subjects.iter().enumerate() {
        progress.show("rewritten", number, &subject.known.name);
        let facts = Facts {
            running: subject.active,
            ..facts.clone()
        };
        let work = Work {
            session: &session,
            uri,
            args,
            recipes,
            facts,
            several,
        };
        lines.push(work.rewrite(out, subject)?);
    }
    progress.clear();
    finish(out, args, &lines, several)
}

/// Says what came of it all.
fn finish(out: &mut impl Write, args: &Rewrite, lines: &[Line], several: bool) -> Result<Verdict, Failure> {
    if args.json {
        output::json(out, lines)?;
    }
    let count = |outcome| lines.iter().filter(|line| line.result == outcome).count();
    for line in lines.iter().filter(|line| line.result == Outcome::Failed) {
        writeln!(io::stderr(), "error: {}: {}", line.name.escape_debug(), line.why)?;
    }
    if several && !args.quiet && !args.json {
        let parts = [
            ("defined", Outcome::Defined),
            ("changed while running", Outcome::Updated),
            ("would change", Outcome::WouldChange),
            ("declined", Outcome::Declined),
            ("need no change", Outcome::Unchanged),
            ("failed", Outcome::Failed),
        ];
        let parts = parts.map(|(words, outcome)| (count(outcome), words));
        let parts: Vec<_> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        if lines.is_empty() {
            writeln!(out, "There are no domains.")?;
        } else {
            writeln!(out, "{} domains: {}", lines.len(), parts.join(", "))?;
        }
        if args.all && !args.defines() && count(Outcome::WouldChange) > 0 {
            writeln!(out, "Nothing was changed: say --define to do it.")?;
        }
    }
    let left = |line: &Line| line.result == Outcome::Failed || line.left;
    Ok(if lines.iter().any(left) {
        Verdict::SomethingLeft
    } else {
        Verdict::Clean
    })
}

/// Everything one domain's rewrite needs.
struct Work<'a> {
    session: &'a Session,
    uri: &'a str,
    args: &'a Rewrite,
    recipes: &'a [Recipe],
    facts: Facts,
    several: bool,
}

impl Work<'_> {
    fn rewrite(&self, out: &mut impl Write, subject: &Subject) -> Result<Line, Failure> {
        let mut line = Line {
            uuid: Some(subject.known.uuid.clone()),
            left: false,
            result: Outcome::Unchanged,
            ..failed(&subject.known.name, String::new())
        };
        let done = self.inactive(subject, &mut line).and_then(|inactive| {
            let running = self.running(subject, &mut line)?;
            Ok((inactive, running))
        });
        let (inactive, running) = match done {
            Ok(rewritten) => rewritten,
            Err(why) => {
                return Ok(Line {
                    result: Outcome::Failed,
                    why,
                    left: true,
                    ..line
                });
            }
        };
        for note in &line.notes {
            log::warn!("{}: {note}", subject.known.name.escape_debug());
        }
        self.show(out, subject, &inactive, &line)?;
        if self.args.migrate_to.is_some() {
            return self.migration(out, subject, line, &inactive, running.as_deref());
        }
        let changed = subject.inactive != inactive;
        if !changed && subject.running == running {
            self.say(out, subject, NO_CHANGE)?;
            return Ok(line);
        }
        line.result = Outcome::WouldChange;
        if !self.args.defines() && !self.args.updates() {
            return Ok(line);
        }
        if self.args.confirm && !confirmed(out, &subject.known.name)? {
            line.result = Outcome::Declined;
            return Ok(line);
        }
        let acted = self.act(
            out,
            subject,
            changed.then_some(&inactive),
            running.as_deref(),
            &mut line,
        )?;
        if let Err(why) = acted {
            line = Line {
                result: Outcome::Failed,
                why,
                left: true,
                ..line
            };
        }
        Ok(line)
    }

    /// Rewrites the definition.
    fn inactive(&self, subject: &Subject, line: &mut Line) -> Result<String, String> {
        let after = self.apply(&subject.inactive, line)?;
        line.diff = unified_diff(subject.inactive.as_bytes(), after.as_bytes());
        if self.args.validate {
            schema::check(subject.inactive.as_bytes(), after.as_bytes())?;
        }
        Ok(after)
    }

    /// Rewrites what runs.
    fn running(&self, subject: &Subject, line: &mut Line) -> Result<Option<String>, String> {
        let Some(running) = &subject.running else {
            return Ok(None);
        };
        self.apply(running, line).map(Some)
    }

    fn apply(&self, xml: &str, line: &mut Line) -> Result<String, String> {
        let rewritten = recipe::rewrite(xml.as_bytes(), self.recipes, &self.facts);
        let Rewritten { xml: after, notes } = rewritten.map_err(|why| because(why, xml.as_bytes()))?;
        line.left |= notes.iter().any(|note| note.kind == NoteKind::Left);
        for note in notes {
            if !line.notes.contains(&note.text) {
                line.notes.push(note.text);
            }
        }
        String::from_utf8(after).map_err(|error| error.to_string())
    }

    fn show(&self, out: &mut impl Write, subject: &Subject, after: &str, line: &Line) -> Result<(), Failure> {
        let args = self.args;
        if args.json {
            return Ok(());
        }
        let looks = args.print_diff || args.confirm || args.no_define && !args.update;
        if (looks || args.all && !args.define && !args.print_xml) && !line.diff.is_empty() {
            if self.several {
                writeln!(out, "{}:", subject.known.name.escape_debug())?;
            }
            write!(out, "{}", line.diff)?;
        }
        if args.print_xml {
            let shown = if args.security_info {
                after.as_bytes().to_vec()
            } else {
                without_secrets(after.as_bytes()).map_err(|error| Failure::Refused(error.to_string()))?
            };
            out.write_all(&shown)?;
        }
        Ok(())
    }

    fn say(&self, out: &mut impl Write, subject: &Subject, words: &str) -> Result<(), Failure> {
        if self.args.quiet || self.args.json || self.args.print_xml {
            return Ok(());
        }
        if self.several {
            write!(out, "{}: ", subject.known.name.escape_debug())?;
        }
        Ok(writeln!(out, "{words}")?)
    }

    /// Does it. The inner result says why not.
    fn act(
        &self,
        out: &mut impl Write,
        subject: &Subject,
        inactive: Option<&String>,
        running: Option<&str>,
        line: &mut Line,
    ) -> Result<Result<(), String>, Failure> {
        let name = subject.known.name.escape_debug().to_string();
        let mut defined = false;
        if let Some(after) = inactive
            && self.args.defines()
        {
            if let Err(why) = self.define(subject, after) {
                return Ok(Err(why));
            }
            defined = true;
            line.result = Outcome::Defined;
            self.say(out, subject, &format!("Domain '{name}' defined successfully."))?;
        }
        if self.args.updates()
            && let (Some(before), Some(after)) = (&subject.running, running)
        {
            match self.update(subject, before, after) {
                Ok(0) => {}
                Ok(_) => {
                    if !defined {
                        line.result = Outcome::Updated;
                    }
                    self.say(out, subject, &format!("Domain '{name}' changed while it runs."))?;
                }
                Err(why) => return Ok(Err(why)),
            }
        } else if defined && subject.active {
            self.say(
                out,
                subject,
                "Changes will take effect after the domain is fully powered off.",
            )?;
        }
        Ok(Ok(()))
    }

    /// Keeps the definition that is there, and puts the new one in its place.
    fn define(&self, subject: &Subject, after: &str) -> Result<(), String> {
        if !subject.persistent {
            return Err(
                "it is transient: it has no definition that could be changed; --update --no-define changes what runs".into(),
            );
        }
        let now = self
            .session
            .describe(&subject.known.uuid)
            .map_err(|trouble| trouble.to_string())?;
        if now.inactive != subject.inactive {
            return Err("its definition was changed by somebody else meanwhile: run this again".into());
        }
        backup::keep(&subject.known.uuid, &subject.inactive).map_err(|error| error.to_string())?;
        self.session.define(after).map_err(|trouble| trouble.to_string())
    }

    /// Changes the disks of what runs. Says how many were, or which libvirt cannot change.
    fn update(&self, subject: &Subject, before: &str, after: &str) -> Result<usize, String> {
        let disks =
            recipe::changed_disks(before.as_bytes(), after.as_bytes()).map_err(|error| error.to_string())?;
        let mut refused = Vec::new();
        for (label, xml) in &disks {
            if let Err(trouble) = self.session.update(&subject.known.uuid, xml) {
                refused.push(format!("{label}: {trouble}"));
            }
        }
        if refused.is_empty() {
            Ok(disks.len())
        } else {
            Err(format!("not changed while it runs: {}", refused.join("; ")))
        }
    }

    /// `--migrate-to`
    fn migration(
        &self,
        out: &mut impl Write,
        subject: &Subject,
        mut line: Line,
        inactive: &str,
        running: Option<&str>,
    ) -> Result<Line, Failure> {
        let Some(destination) = &self.args.migrate_to else {
            return Ok(line);
        };
        let changed = |before: &str, after| if before == after { None } else { Some(after) };
        let migration = migrate::Migration {
            from: self.uri,
            domain: &subject.known,
            active: subject.active,
            persistent: subject.persistent,
            xml: subject
                .running
                .as_deref()
                .zip(running)
                .and_then(|(before, after)| changed(before, after)),
            persistent_xml: changed(&subject.inactive, inactive).filter(|_| subject.persistent),
            destination,
        };
        if migration.xml.is_some() || migration.persistent_xml.is_some() {
            line.result = Outcome::WouldChange;
        } else {
            self.say(out, subject, NO_CHANGE)?;
        }
        let command = migration.prepare()?;
        if !self.args.json {
            writeln!(out, "{command}")?;
        }
        line.command = Some(command);
        Ok(line)
    }
}

/// Asks the person. Whatever is not a yes is a no.
fn confirmed(out: &mut impl Write, name: &str) -> Result<bool, Failure> {
    write!(
        out,
        "Define '{}' with the changed XML? (y/n): ",
        name.escape_debug()
    )?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
