// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! XML with places for values, `@NAME@`, each in an attribute's value or a text, where it is escaped.
//!
//! A line whose place has no value is left out. What stands before the root element is for who reads the template.

use super::ScanError;
use super::edit::escaped;
use super::token::Token;
use super::tokens::Tokens;

/// A place for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// What stands between the `@`.
    pub name: &'static str,
    /// It always has a value.
    pub required: bool,
}

/// A template that can be filled: whatever the values, the result is well formed and says what they say.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a>(&'a str);

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct TemplateError {
    line: usize,
    column: usize,
    reason: String,
}

/// A value that nobody would give, with everything that has to be escaped.
const PROBE: &str = "<&'\"> probe";

impl<'a> Template<'a> {
    /// Takes a template whose root is to be `root` and that may have places of these names.
    ///
    /// # Errors
    /// When it is not well formed with or without its optional values, has another root, or a place where no value can
    /// stand.
    pub fn new(text: &'a str, root: &str, slots: &[Slot]) -> Result<Self, TemplateError> {
        for (at, name) in places(text) {
            if !slots.iter().any(|slot| slot.name == name) {
                return Err(wrong(text, at, format!("there is no value @{name}@")));
            }
        }
        let template = Self(text);
        let all: Vec<_> = slots.iter().map(|slot| (slot.name, Some(PROBE))).collect();
        let few: Vec<_> = slots
            .iter()
            .map(|slot| (slot.name, slot.required.then_some(PROBE)))
            .collect();
        for values in [all, few] {
            let filled = template.filled(&values);
            let expected = filled.matches(escaped(PROBE).as_ref()).count();
            let (found, own_root) =
                read(&filled).map_err(|error| wrong(&filled, error.offset, error.reason.to_owned()))?;
            if own_root != root {
                return Err(wrong(text, 0, format!("the root element must be <{root}>")));
            }
            if found != expected {
                let reason =
                    "a value stands where it would be no value: in a comment, a CDATA section or a name";
                return Err(wrong(text, 0, reason.to_owned()));
            }
        }
        Ok(template)
    }

    /// The root element with the values in their places, ready to print.
    ///
    /// # Errors
    /// When a value has a character that XML does not have.
    pub fn fill(&self, values: &[(&str, Option<&str>)]) -> Result<String, ScanError> {
        let filled = self.filled(values);
        let mut tokens = Tokens::new(filled.as_bytes())?;
        let mut begin = None;
        while let Some(token) = tokens.next()? {
            if let Token::Open(element) = token {
                begin.get_or_insert(element.span.start);
            }
        }
        Ok(filled
            .get(begin.unwrap_or_default()..)
            .unwrap_or_default()
            .to_owned())
    }

    fn filled(&self, values: &[(&str, Option<&str>)]) -> String {
        let value = |wanted: &str| {
            values
                .iter()
                .find(|(name, _)| *name == wanted)
                .and_then(|(_, value)| *value)
        };
        let mut filled = String::new();
        'lines: for line in self.0.split_inclusive('\n') {
            let begin = filled.len();
            let mut done = 0;
            for (at, name) in places(line) {
                let Some(value) = value(name) else {
                    filled.truncate(begin);
                    continue 'lines;
                };
                filled.push_str(line.get(done..at).unwrap_or_default());
                filled.push_str(&escaped(value));
                done = at + name.len() + 2;
            }
            filled.push_str(line.get(done..).unwrap_or_default());
        }
        filled
    }
}

/// The places in a text: where each begins, and its name.
fn places(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + text.get(from..)?.find('@')?;
            let rest = text.get(at + 1..)?;
            let length = rest
                .bytes()
                .position(|b| !b.is_ascii_uppercase())
                .unwrap_or(rest.len());
            from = at + 1;
            if length > 0 && rest.as_bytes().get(length) == Some(&b'@') {
                from = at + length + 2;
                return Some((at, rest.get(..length)?));
            }
        }
    })
}

/// How many values are the probe, and the name of the root.
fn read(xml: &str) -> Result<(usize, String), ScanError> {
    let mut tokens = Tokens::new(xml.as_bytes())?;
    let mut root = None;
    let mut text = String::new();
    let mut found = 0;
    while let Some(token) = tokens.next()? {
        match token {
            Token::Open(element) => {
                root.get_or_insert_with(|| element.name.to_owned());
                let values = element
                    .attributes()
                    .map(|attribute| attribute.value().matches(PROBE).count());
                found += values.sum::<usize>();
                found += std::mem::take(&mut text).matches(PROBE).count();
            }
            Token::Close(_) => found += std::mem::take(&mut text).matches(PROBE).count(),
            Token::Text(piece) if piece.is_cdata() => {}
            Token::Text(piece) => text.push_str(&piece.value()),
        }
    }
    Ok((found, root.unwrap_or_default()))
}

fn wrong(text: &str, offset: usize, reason: String) -> TemplateError {
    let (line, column) = ScanError { reason: "", offset }.line_column(text.as_bytes());
    TemplateError { line, column, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: [Slot; 3] = [
        Slot {
            name: "A",
            required: true,
        },
        Slot {
            name: "B",
            required: false,
        },
        Slot {
            name: "C",
            required: false,
        },
    ];

    fn new(text: &str) -> Result<Template<'_>, String> {
        Template::new(text, "x", &SLOTS).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_escaped_and_lines_without_one_left_out() {
        let template =
            new("<!-- c -->\n<x a='@A@'\n b='@B@'\n>\n <y/>@C@\n <z>user@host @A@</z>\n</x>\n").unwrap();
        let fill = |b, c| {
            template
                .fill(&[("A", Some("<'&\">")), ("B", b), ("C", c)])
                .unwrap()
        };
        let value = "&lt;&apos;&amp;&quot;&gt;";
        assert_eq!(
            fill(None, None),
            format!("<x a='{value}'\n>\n <z>user@host {value}</z>\n</x>\n")
        );
        assert_eq!(
            fill(Some("1"), Some("")),
            format!("<x a='{value}'\n b='1'\n>\n <y/>\n <z>user@host {value}</z>\n</x>\n")
        );
        assert!(template.fill(&[("A", Some("\u{1}"))]).is_err());
    }

    #[test]
    fn what_could_become_something_else_is_refused_with_its_place() {
        for (text, why) in [
            ("<x a='@D@'/>", "line 1, column 7: there is no value @D@"),
            ("<x>", "line 1, column 4: the document is cut off"),
            ("<y a='@A@'/>", "line 1, column 1: the root element must be <x>"),
            (
                "<x>\n<y>@B@\n</y></x>",
                "line 2, column 1: an end tag that does not match",
            ),
            (
                "<x><!-- @A@ --></x>",
                "line 1, column 1: a value stands where it would be no value: in a comment, a CDATA section or a name",
            ),
            (
                "<x><![CDATA[@A@]]></x>",
                "line 1, column 1: a value stands where it would be no value: in a comment, a CDATA section or a name",
            ),
            (
                "<x><?p @A@?></x>",
                "line 1, column 1: a value stands where it would be no value: in a comment, a CDATA section or a name",
            ),
            (
                "<x @A@='1'/>",
                "line 1, column 4: an attribute name that is not one",
            ),
        ] {
            assert_eq!(new(text).map(|_| ()), Err(why.to_owned()), "{text}");
        }
    }
}
