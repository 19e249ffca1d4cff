//! The reader process: limits itself before it touches a byte, reads one file, answers in frames, ends.

use std::{
    io::{self, BufRead, Read, Write},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    thread,
};

use rlimit::Resource;

use super::{
    Format, decode, markdown, pdf,
    protocol::{FRAME_MARK, Frame, Job, short},
};

/// The whole life of a reader process: job and file on stdin, frames on stdout.
pub fn run() -> ExitCode {
    // A panic is reported in a frame; its default text would quote the file on stderr.
    panic::set_hook(Box::new(|_| {}));
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    stdin.by_ref().take(1 << 20).read_until(b'\n', &mut line)?;
    let job: Job = serde_json::from_slice(&line).map_err(io::Error::other)?;
    restrict(&job)?;
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes)?;
    drop(stdin);

    // Page trees and arrays of hostile files nest deep; the readers recurse along them. The stack
    // counts as address space, so a small limit gets a small stack.
    let stack = usize::try_from(job.memory_bytes / 8).unwrap_or(usize::MAX).clamp(4 << 20, 64 << 20);
    let reader = thread::Builder::new().stack_size(stack).spawn(move || {
        let mut sink = Sink { characters_left: job.max_characters, output: Box::new(io::stdout()) };
        let read = guarded(|| read(bytes, &job, &mut sink));
        match read {
            Ok(Ok(()) | Err(Stop::Said)) => sink.emit(&Frame::Done),
            Ok(Err(stop)) => Err(stop),
            Err(reason) => sink.emit(&Frame::Unreadable { reason }).and_then(|()| sink.emit(&Frame::Done)),
        }
    })?;
    match reader.join() {
        Ok(Ok(()) | Err(Stop::Said)) => Ok(()),
        Ok(Err(Stop::Lost(error))) => Err(error),
        Err(_) => Err(io::Error::other("the reader's thread panicked")),
    }
}

/// What the system then enforces whatever the readers do. Opening files and sockets is over as well:
/// three descriptors are in use.
fn restrict(job: &Job) -> io::Result<()> {
    for (resource, soft, hard) in [
        (Resource::AS, job.memory_bytes, job.memory_bytes),
        // The second more lets the signal of the soft limit tell what ended it.
        (Resource::CPU, job.cpu_seconds, job.cpu_seconds + 1),
        (Resource::FSIZE, 0, 0),
        (Resource::CORE, 0, 0),
        (Resource::NOFILE, 3, 3),
    ] {
        let (_, most) = resource.get()?;
        // Other systems than the one it is deployed on know not all of them (macOS has no address space limit).
        match resource.set(soft.min(most), hard.min(most)) {
            Err(error) if cfg!(target_os = "linux") => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn read(bytes: Vec<u8>, job: &Job, sink: &mut Sink) -> Result<(), Stop> {
    let text = match job.format {
        Format::Pdf => return pdf::read_here(bytes, job, sink),
        // No encoding needs more than four bytes for a character.
        _ if bytes.len() as u64 / 4 > job.max_characters => return sink.end(Frame::TooMuchText),
        Format::Markdown | Format::Text => decode::decode(&bytes),
    };
    let (text, warning) = match text {
        Ok(decode::Decoded { text, warning }) => (text, warning),
        Err(reason) => return sink.end(Frame::Refused { reason }),
    };
    for text in warning {
        sink.emit(&Frame::Warning { text })?;
    }
    let document = match job.format {
        Format::Markdown => markdown::read(&text),
        _ => markdown::Document { body: text, ..Default::default() },
    };
    let markdown::Document { body, title, tags, language, warnings } = document;
    sink.emit(&Frame::Opened { pages: 0, title, tags, language })?;
    for text in warnings {
        sink.emit(&Frame::Warning { text })?;
    }
    if body.trim().is_empty() {
        return sink.end(Frame::Empty { reason: "the file holds blanks only".into() });
    }
    sink.page(0, body)
}

/// Where frames go.
pub(super) struct Sink {
    characters_left: u64,
    output: Box<dyn Write>,
}

/// Why reading stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A frame has said why.
    Said,
    /// Nobody listens any more.
    Lost(io::Error),
}

impl Sink {
    pub fn emit(&mut self, frame: &Frame) -> Result<(), Stop> {
        // The line break first: a library may have printed half a line.
        let mut line = vec![b'\n', FRAME_MARK];
        serde_json::to_writer(&mut line, frame).map_err(|error| Stop::Lost(error.into()))?;
        line.push(b'\n');
        self.output.write_all(&line).and_then(|()| self.output.flush()).map_err(Stop::Lost)
    }

    /// Emits the last word about the file.
    pub fn end(&mut self, frame: Frame) -> Result<(), Stop> {
        self.emit(&frame)?;
        Err(Stop::Said)
    }

    /// Emits the text of a page, within what the file may give in all.
    pub fn page(&mut self, number: u32, text: String) -> Result<(), Stop> {
        let characters = text.chars().count() as u64;
        match self.characters_left.checked_sub(characters) {
            Some(left) => self.characters_left = left,
            None => return self.end(Frame::TooMuchText),
        }
        self.emit(&Frame::Page { number, text })
    }

    #[cfg(test)]
    pub fn to(output: impl Write + 'static, characters_left: u64) -> Self {
        Self { characters_left, output: Box::new(output) }
    }
}

/// Runs a reader that may panic; the panic's text without what it quotes is the error.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or_default();
        // An unwrap's text is about the library's own code, and quotes the value.
        if text.starts_with("called `") { "an internal check fails".to_owned() } else { short(text) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_reason() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| panic!("no map {}", 7)), Err::<(), _>("no map 7".into()));
        assert_eq!(guarded(|| "secret".parse::<u8>().unwrap()), Err("an internal check fails".into()));
    }

    #[test]
    fn text_beyond_the_limit_ends_the_reading() {
        let mut sink = Sink::to(io::sink(), 5);
        assert!(sink.page(1, "あいう".into()).is_ok());
        assert!(matches!(sink.page(2, "abc".into()), Err(Stop::Said)));
    }
}
