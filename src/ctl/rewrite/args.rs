// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The command line of `spvirt rewrite`: the words of virt-xml where it has them.

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::volume;
use spvirt::recipe::{Form, Map, Old, Queues, Recipe, Replace, Tune};

/// What is to be rewritten, how, and what becomes of it.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // switches, as they are typed
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct Rewrite {
    /// Domains, by name or UUID; or one file, a path with a "/" in it or
    /// ending in .xml; or - for stdin
    #[arg(value_name = "DOMAIN|FILE|-")]
    pub subjects: Vec<String>,
    /// All domains of this host; shows what would change unless told --define
    #[arg(long, conflicts_with = "subjects")]
    pub all: bool,

    /// Name volumes by global id or by name
    ///
    /// One request to StorPool for all domains. A volume that StorPool does not know is left and reported.
    #[arg(long, value_name = "FORM", help_heading = RECIPES)]
    to: Option<To>,
    /// Set cache=none io=native discard=unmap, and what else is named
    ///
    /// For hard disks on StorPool volumes. Beside these three, separated by commas: detect-zeroes; iothread, with an
    /// <iothreads> element; queues or queues=N; virtio-scsi. The guest sees the last two: not for running domains.
    #[arg(long, value_name = "MORE", num_args = 0..=1, require_equals = true, value_delimiter = ',', help_heading = RECIPES)]
    tune: Option<Vec<TuneWord>>,
    /// Turn disks of type file and volume on StorPool volumes into type block
    ///
    /// QEMU opens a block device in no other way.
    #[arg(long, help_heading = RECIPES)]
    block: bool,
    /// Where a storage pool lies, for --block of files
    #[arg(long, value_name = "NAME=FOLDER", value_parser = pair, help_heading = RECIPES)]
    pub pool: Vec<(String, String)>,
    /// Put a volume in the place of another, or of any path
    ///
    /// OLD and NEW are NAME, ~GLOBALID, a path below the StorPool folders or cinder:UUID; OLD may be any other path.
    #[arg(long, value_name = "OLD=NEW", value_parser = map, help_heading = RECIPES)]
    map: Vec<Map>,
    /// Put a disk on a volume, whatever it was on
    #[arg(long, value_name = "TARGET=VOLUME", value_parser = replace, help_heading = RECIPES)]
    replace: Vec<Replace>,
    /// Make the global id the serial number of each disk
    ///
    /// The guest sees it: not for running domains.
    #[arg(long, value_name = "WHAT", help_heading = RECIPES)]
    serial: Option<Serial>,

    /// Print the changes and define nothing, unless told --define too
    #[arg(long, visible_alias = "dry-run", short_alias = 'n', help_heading = OUTPUT)]
    pub print_diff: bool,
    /// Print the XML and define nothing, unless told --define too
    #[arg(long, help_heading = OUTPUT)]
    pub print_xml: bool,
    /// Define the changed domains: what single domains get without options
    #[arg(long, conflicts_with = "no_define", help_heading = OUTPUT)]
    pub define: bool,
    /// Define nothing, with --update
    #[arg(long, help_heading = OUTPUT)]
    pub no_define: bool,
    /// Change the disks of running domains too, as far as libvirt can
    #[arg(long, help_heading = OUTPUT)]
    pub update: bool,
    /// Show the changes and ask before each domain
    #[arg(long, help_heading = OUTPUT)]
    pub confirm: bool,
    /// Check before and after with virt-xml-validate; only what is newly wrong
    /// counts
    #[arg(long, help_heading = OUTPUT)]
    pub validate: bool,
    /// Leave passwords in the printed XML of domains
    #[arg(long, help_heading = OUTPUT)]
    pub security_info: bool,
    /// Print the virsh command that migrates each domain with this XML
    #[arg(long, value_name = "URI", conflicts_with_all = ["define", "update", "confirm"], help_heading = OUTPUT)]
    pub migrate_to: Option<String>,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    /// Print nothing but problems
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}

const RECIPES: &str = "Recipes, which combine";
const OUTPUT: &str = "What becomes of it";
const EXAMPLES: &str = "\
Examples:
  spvirt rewrite --to by-id web1            a name may change, an id does not
  spvirt rewrite --to by-id --all           show it for all domains
  spvirt rewrite --to by-id --all --define  do it
  spvirt rewrite --tune web1
  spvirt rewrite --tune=detect-zeroes,iothread --print-diff web1
  spvirt rewrite --tune=virtio-scsi,queues=4 web1
  spvirt rewrite --block web1
  spvirt rewrite --block --pool sp=/dev/storpool web1.xml > new.xml
  spvirt rewrite --map web1-root=web2-root --map web1-data=web2-data web2
  spvirt rewrite --map /srv/web1.raw=web1-root --tune web1
  spvirt rewrite --replace sda=debian-12.iso web1
  spvirt rewrite --serial global-id web1
  spvirt rewrite --to by-name --migrate-to qemu+ssh://kvm2/system web1
  virsh dumpxml web1 | spvirt rewrite --to by-id - > by-id.xml

The definition that was there is kept: see spvirt undo.
Exit codes: 0 done or nothing to do, 1 something failed or was left, 2 usage.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    ById,
    ByName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Serial {
    GlobalId,
}

/// One word behind `--tune`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TuneWord {
    DetectZeroes,
    Iothread,
    Queues(Queues),
    VirtioScsi,
}

impl std::str::FromStr for TuneWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.split_once('=').unwrap_or((word, "")) {
            ("detect-zeroes", "") => Ok(Self::DetectZeroes),
            ("iothread", "") => Ok(Self::Iothread),
            ("virtio-scsi", "") => Ok(Self::VirtioScsi),
            ("queues", "") => Ok(Self::Queues(Queues::PerCpu)),
            ("queues", number) => match number.parse() {
                Ok(number @ 1..=256) => Ok(Self::Queues(Queues::Number(number))),
                _ => Err("queues=N must be from 1 to 256".to_owned()),
            },
            _ => Err("must be detect-zeroes, iothread, queues, queues=N or virtio-scsi".to_owned()),
        }
    }
}

/// What the arguments name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subjects<'a> {
    All,
    Domains(&'a [String]),
    File(&'a Path),
    Stdin,
}

impl Rewrite {
    /// What is to be rewritten, or what is wrong with the arguments.
    pub fn subjects(&self) -> Result<Subjects<'_>, String> {
        let is_text = |subject: &String| {
            subject == "-"
                || subject.contains('/')
                || Path::new(subject)
                    .extension()
                    .is_some_and(|extension| extension == "xml")
        };
        let subjects = match self.subjects.as_slice() {
            _ if self.all => Subjects::All,
            [] => Subjects::Stdin,
            [one] if one == "-" => Subjects::Stdin,
            [one] if is_text(one) => Subjects::File(Path::new(one)),
            many if many.iter().any(is_text) => {
                return Err("one file at a time, and not together with domains".to_owned());
            }
            domains => Subjects::Domains(domains),
        };
        let is_domains = matches!(subjects, Subjects::All | Subjects::Domains(_));
        let for_domains = [
            ("--define", self.define),
            ("--no-define", self.no_define),
            ("--update", self.update),
            ("--confirm", self.confirm),
            ("--migrate-to", self.migrate_to.is_some()),
        ];
        match for_domains.iter().find(|(_, given)| *given && !is_domains) {
            Some((option, _)) => Err(format!("{option} is for domains, not for files")),
            None => Ok(subjects),
        }
    }

    /// The recipes in the order in which they are applied, or what is wrong with the arguments.
    pub fn recipes(&self) -> Result<Vec<Recipe>, String> {
        let mut recipes = Vec::new();
        if !self.map.is_empty() {
            self.check_map()?;
            recipes.push(Recipe::Map(self.map.clone()));
        }
        if !self.replace.is_empty() {
            recipes.push(Recipe::Replace(self.replace.clone()));
        }
        // A file that became a volume needs the other type.
        if self.block || !self.map.is_empty() {
            recipes.push(Recipe::Block);
        }
        if let Some(to) = self.to {
            recipes.push(Recipe::To(match to {
                To::ById => Form::ById,
                To::ByName => Form::ByName,
            }));
        }
        if let Some(words) = &self.tune {
            recipes.push(Recipe::Tune(tune(words)));
        }
        if self.serial.is_some() {
            recipes.push(Recipe::Serial);
        }
        if recipes.is_empty() {
            return Err("no recipe: say --to, --tune, --block, --map, --replace or --serial".to_owned());
        }
        Ok(recipes)
    }

    /// Maps are applied at once, but a second time must change nothing.
    fn check_map(&self) -> Result<(), String> {
        for (at, map) in self.map.iter().enumerate() {
            let earlier = self.map.iter().take(at);
            if earlier.clone().any(|other| other.old == map.old) {
                return Err("--map: one volume is replaced twice".to_owned());
            }
            if self
                .map
                .iter()
                .any(|other| other.old == Old::Volume(map.new.clone()))
            {
                return Err(format!("--map: \"{}\" is put in and replaced", map.new));
            }
        }
        Ok(())
    }

    /// Whether changed domains are defined.
    pub fn defines(&self) -> bool {
        let shows =
            self.all || self.print_diff || self.print_xml || self.no_define || self.migrate_to.is_some();
        self.define || self.confirm || !shows
    }

    /// Whether what runs is changed.
    pub fn updates(&self) -> bool {
        self.update && (self.defines() || self.no_define && !self.print_diff && !self.print_xml)
    }
}

fn tune(words: &[TuneWord]) -> Tune {
    let mut tune = Tune::default();
    for word in words {
        match word {
            TuneWord::DetectZeroes => tune.detect_zeroes = true,
            TuneWord::Iothread => tune.iothread = true,
            TuneWord::Queues(queues) => tune.queues = Some(*queues),
            TuneWord::VirtioScsi => tune.virtio_scsi = true,
        }
    }
    tune
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("there must be a \"=\" with something on both sides".to_owned()),
    }
}

fn map(text: &str) -> Result<Map, String> {
    let (old, new) = pair(text)?;
    Ok(Map {
        old: match volume(&old) {
            Ok(volume) => Old::Volume(volume),
            Err(_) if old.starts_with('/') => Old::Path(old),
            Err(why) => return Err(why),
        },
        new: volume(&new)?,
    })
}

fn replace(text: &str) -> Result<Replace, String> {
    let (target, named) = pair(text)?;
    Ok(Replace {
        target,
        volume: volume(&named)?,
    })
}
