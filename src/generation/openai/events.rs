//! Server-sent events out of bytes as they arrive, cut anywhere.

/// One event of a model is a few hundred bytes.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// The data of events; names, ids and comments say nothing that the data does not.
#[derive(Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// Up to here there is no end of a line.
    searched: usize,
    data: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.buffer.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The data of the next complete event.
    pub fn next(&mut self) -> Option<String> {
        while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let rest = self.buffer.split_off(self.searched + end + 1);
            let line = std::mem::replace(&mut self.buffer, rest);
            self.searched = 0;
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = self.line(line.trim_end_matches(['\r', '\n'])) {
                return Some(data);
            }
        }
        self.searched = self.buffer.len();
        None
    }

    /// What is left when the stream ends without the empty line.
    pub fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.buffer);
        self.line(&String::from_utf8_lossy(&line));
        self.line("")
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            return (!self.data.is_empty()).then(|| std::mem::take(&mut self.data));
        }
        if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": ping\n\nevent: x\r\ndata: {\"a\":\"\u{e9}\"}\r\n\r\ndata:1\ndata: 2\nid: 7\n\n\ndata: [DONE]\n\n";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for bytes in STREAM.as_bytes().chunks(size) {
                events.push(bytes).unwrap();
                seen.extend(std::iter::from_fn(|| events.next()));
            }
            assert_eq!(seen, ["{\"a\":\"\u{e9}\"}", "1\n2", "[DONE]"], "{size}");
            assert_eq!(events.rest(), None);
        }
    }

    #[test]
    fn an_end_without_an_empty_line_loses_nothing_and_a_line_without_end_is_refused() {
        let mut events = Events::default();
        events.push(b"data: last").unwrap();
        assert_eq!((events.next(), events.rest()), (None, Some("last".to_owned())));
        assert_eq!(events.push(&vec![b'x'; MAX_EVENT_BYTES + 1]), Err(TooLong));
    }
}
