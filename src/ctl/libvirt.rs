// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt, asked with a time limit: it does not answer about a domain while any hook works on it, nor about all of
//! them while one does. The only user of the `virt` bindings.

mod domains;

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use virt::connect::Connect;
use virt::error::Error;

pub use domains::Found;

/// How long libvirt may think about one question.
const PATIENCE: Duration = Duration::from_secs(5);

/// A libvirt that may be slow, busy or gone.
#[derive(Debug)]
pub struct Libvirt {
    uri: String,
    /// It did not even let us in: asking again would only take as long again.
    gone: RefCell<Option<String>>,
}

/// How far a question has come.
enum Word<T> {
    Connected,
    Answer(Result<T, Error>),
}

impl Libvirt {
    /// The libvirt at `uri`. Nothing is asked yet.
    pub fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            gone: RefCell::default(),
        }
    }

    /// Asks something. The error says what libvirt said, or that it said nothing.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, String> {
        self.ask_with(PATIENCE, Connect::open_read_only, question)
    }

    /// As [`Libvirt::ask`], for something that changes a domain and may take its time.
    fn tell<T: Send + 'static>(
        &self,
        patience: Duration,
        order: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, String> {
        self.ask_with(patience, Connect::open, order)
    }

    /// A question that is not answered in time is left to its thread, which ends with the process.
    fn ask_with<T: Send + 'static>(
        &self,
        patience: Duration,
        open: fn(Option<&str>) -> Result<Connect, Error>,
        question: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, String> {
        if let Some(why) = &*self.gone.borrow() {
            return Err(why.clone());
        }
        let gone = |why: String| {
            self.gone.replace(Some(why.clone()));
            Err(why)
        };
        let (words, heard) = mpsc::channel();
        let uri = self.uri.clone();
        let ask = move || {
            // libvirt prints every error on stderr by itself unless told not to.
            virt::error::clear_error_callback();
            // Nobody may be listening any more.
            let _ = words.send(match open(Some(&uri)) {
                Err(error) => Word::Answer(Err(error)),
                Ok(connection) => {
                    let _ = words.send(Word::Connected);
                    Word::Answer(question(&connection))
                }
            });
        };
        let asking = match thread::Builder::new().spawn(ask) {
            Ok(thread) => thread,
            Err(error) => return gone(format!("libvirt cannot be asked: {error}")),
        };
        let first = heard.recv_timeout(PATIENCE);
        let connected = matches!(first, Ok(Word::Connected));
        let last = if connected {
            heard.recv_timeout(patience)
        } else {
            first
        };
        if matches!(last, Ok(Word::Answer(_))) {
            // It has said all it will. A thread that still tidies up after libvirt while the process ends can crash it.
            let _ = asking.join();
        }
        match (last, connected) {
            (Ok(Word::Answer(Ok(answer))), _) => Ok(answer),
            (Ok(Word::Answer(Err(error))), true) => Err(format!("libvirt: {}", error.message())),
            (Ok(Word::Answer(Err(error))), false) => gone(format!("libvirt: {}", error.message())),
            (_, true) => Err("libvirt does not answer (it waits while a hook works)".to_owned()),
            (_, false) => gone("libvirt does not answer".to_owned()),
        }
    }
}
