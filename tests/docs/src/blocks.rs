// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The blocks of a document that are run: fenced, with `run` after their language.
//!
//! ````text
//! ```console run
//! hosta# virsh start web1
//! Domain 'web1' started
//! ```
//! ````
//!
//! In a `console` block a command stands behind the name of its host and `# `; what follows is what it prints: these
//! lines in this order, blanks counting as one. `...` stands for anything in a line, and alone for any lines. A command
//! that fails is one whose output is shown to begin with `error:`. In a `sh` block each line is a command for hosta.

/// A command, and what the document says that it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line of the document, from 1.
    pub line: usize,
    /// Where it is typed.
    pub host: String,
    /// What is typed.
    pub command: String,
    /// What is shown of its output.
    pub shown: Vec<String>,
}

impl Step {
    /// Whether the document says that it fails.
    pub fn fails(&self) -> bool {
        self.shown.first().is_some_and(|line| line.starts_with("error:"))
    }
}

/// The commands of a document, in order; or what is wrong with a block, with its line.
pub fn steps(document: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = document.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let words: Vec<_> = info.split_whitespace().collect();
        let runs = match words.as_slice() {
            // The last are for the test of the packages.
            [_] | [] | ["console", "package"] => None,
            ["console", "run"] => Some(true),
            ["sh", "run"] => Some(false),
            _ => return Err(format!("line {number}: nobody knows how to run {info:?}")),
        };
        let inside: Vec<_> = lines
            .by_ref()
            .take_while(|(line, _)| !line.starts_with("```"))
            .collect();
        match runs {
            None => {}
            Some(true) => steps.extend(console(&inside)?),
            Some(false) => steps.extend(inside.iter().filter_map(|(line, number)| {
                let command = line.split(" #").next().unwrap_or_default().trim();
                (!command.is_empty()).then(|| Step {
                    line: *number,
                    host: "hosta".to_owned(),
                    command: command.to_owned(),
                    shown: Vec::new(),
                })
            })),
        }
    }
    Ok(steps)
}

fn console(lines: &[(&str, usize)]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, number) in lines {
        let prompt = line
            .split_once("# ")
            .filter(|(host, _)| host.starts_with("host") && !host.contains(' '));
        match (prompt, steps.last_mut()) {
            (Some((host, command)), _) => steps.push(Step {
                line: *number,
                host: host.to_owned(),
                command: command.to_owned(),
                shown: Vec::new(),
            }),
            (None, Some(step)) if step.command.ends_with('\\') && step.shown.is_empty() => {
                step.command.pop();
                step.command += line.trim_start();
            }
            (None, Some(step)) => step.shown.push((*line).to_owned()),
            (None, None) => return Err(format!("line {number}: a console block begins with a command")),
        }
    }
    Ok(steps)
}

/// The first line that the document shows and the output does not have, in this order.
pub fn missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let mut printed = output.lines().map(plain).filter(|line| !line.is_empty());
    let wanted = shown.iter().filter(|line| !matches!(line.trim(), "" | "..."));
    wanted
        .map(String::as_str)
        .find(|line| !printed.any(|printed| is_like(&plain(line), &printed)))
}

/// With single blanks.
fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is as shown; `...` stands for anything, with the blanks around it.
fn is_like(shown: &str, printed: &str) -> bool {
    let parts: Vec<_> = shown.split("...").map(str::trim).collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return shown == printed;
    };
    let Some(rest) = printed.strip_prefix(first) else {
        return false;
    };
    let rest = middle
        .iter()
        .try_fold(rest, |rest, part| Some(rest.split_once(part)?.1));
    rest.is_some_and(|rest| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_their_output_are_taken_apart() {
        let document = "# Title\n```sh\nnot run\n```\n```console run\nhosta# one \\\n  two\nout\nhostb# three\nerror: no\n```\n\
                        ```sh run\nfour   # says why\n\nfive\n```\n";
        let found = steps(document).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|s| {
                (
                    s.line,
                    s.host.as_str(),
                    s.command.as_str(),
                    s.shown.len(),
                    s.fails(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (6, "hosta", "one two", 1, false),
                (9, "hostb", "three", 1, true),
                (13, "hosta", "four", 0, false),
                (15, "hosta", "five", 0, false)
            ]
        );
        assert!(steps("```console run\nno prompt\n```\n").is_err());
        assert!(steps("```python run\nx\n```\n").is_err());
    }

    #[test]
    fn output_is_compared_line_by_line() {
        let shown = |lines: &[&str]| -> Vec<String> { lines.iter().map(|&line| line.to_owned()).collect() };
        let output = " a   b\n\nc 17 d\ne\n";
        for good in [
            &["a b", "e"][..],
            &["a b", "...", "c ... d"],
            &["... b"],
            &["c..."],
            &[],
        ] {
            assert_eq!(missing(&shown(good), output), None, "{good:?}");
        }
        for bad in [&["e", "a b"][..], &["a"], &["c ... e"], &["x..."], &["... x"]] {
            assert!(missing(&shown(bad), output).is_some(), "{bad:?}");
        }
    }
}
