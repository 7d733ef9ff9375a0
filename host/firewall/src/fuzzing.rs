//! The code that reads bytes, as functions of bytes for the fuzz targets. None
//! may panic, hang, or exceed its bounds, whatever the input.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::azion;
use crate::config::Others;
use crate::evaluation::{Evaluation, Outcome, Step, Unclear};
use crate::list::{self, List, ListKind};
use crate::request::{Claims, Request};
use crate::rules::{FirewallId, Firewalls, Rules};
use crate::trace::Trace;

/// Reads a configuration, and evaluates all its firewalls for a request that has
/// the same text in every part: with and without a trace, they decide the same.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let rules = match Rules::parse(&text, Others::Refuse) {
        Ok(rules) => rules,
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a word");
            for error in errors {
                let lines = text.lines().count();
                assert!(error.line <= lines.max(1), "line {} of {lines}", error.line);
                assert!(!error.message.is_empty() && !error.hint.is_empty());
            }
            return;
        }
    };
    let firewalls = Firewalls::load(Arc::new(rules), |_| Ok(Vec::new()));
    let firewalls = firewalls.expect("an empty list is right");
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.append("cookie", value.clone());
        headers.append("x-a", value);
    }
    let request = Request {
        peer: IpAddr::from([10, 0, 0, 1]),
        peer_is_unnamed: false,
        peer_port: None,
        method: "GET",
        scheme: "https",
        host: Some("example.org"),
        path: &text,
        query: Some(&text),
        headers: &headers,
        tls: None,
        claims: Claims::Absent,
    };
    for index in 0..firewalls.rules().firewalls.len() {
        let id = Some(FirewallId(index));
        // Apart in time, so that the rates of the first do not count for the
        // second.
        let day = Duration::from_secs(86_400 * 365);
        let mut plain = Evaluation::new(&firewalls, id, None);
        let mut traced = Evaluation::new(&firewalls, None, id);
        let mut trace = Trace::default();
        loop {
            let step = to_step(|| plain.run(&request, Duration::ZERO, &mut ()));
            let other = to_step(|| traced.run(&request, day, &mut trace));
            // Expressions remember what the first needed.
            if is_too_much(&step) || is_too_much(&other) {
                break;
            }
            assert_eq!(step, other);
            if matches!(step, Step::Decided(_)) {
                break;
            }
        }
        assert!(trace.to_string().len() < 1 << 30);
    }
}

/// Runs an evaluation up to a step that is not a pause.
fn to_step<'a>(mut run: impl FnMut() -> Step<'a>) -> Step<'a> {
    loop {
        match run() {
            Step::Pause => {}
            step => return step,
        }
    }
}

fn is_too_much(step: &Step<'_>) -> bool {
    let Step::Decided(decision) = step else {
        return false;
    };
    decision.outcome == Outcome::Refuse(Unclear::Work)
}

/// Reads a list: the first byte is its kind. Every network of its lines is in
/// it.
pub fn lists(bytes: &[u8]) {
    let (kind, bytes) = match bytes.split_first() {
        Some((byte, rest)) if byte % 2 == 1 => (ListKind::Texts, rest),
        Some((_, rest)) => (ListKind::Networks, rest),
        None => return,
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    match List::read(kind, bytes) {
        Err(error) => {
            assert!((1..=lines.count()).contains(&error.line), "{error}");
            assert!(!error.message.is_empty() && !error.hint.is_empty());
        }
        Ok(read) => {
            for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
                let network = list::network(line);
                // A larger network around the mapped addresses has none of them.
                let ends = network.iter().flat_map(|it| [it.addr(), it.broadcast()]);
                for end in ends.filter(|end| end.to_canonical() == *end) {
                    let expected = kind == ListKind::Networks;
                    assert_eq!(read.has_address(end), expected, "{end}");
                }
            }
        }
    }
}

/// Imports a document of Azion's: the text is right, or a note says what is
/// wrong with it.
pub fn azion(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(imported) = azion::import(&text) else {
        return;
    };
    if let Err(errors) = Rules::parse(&imported.text, Others::Refuse) {
        let mut notes = imported.notes.iter();
        let is_said = notes.any(|note| note.about == "the whole text");
        assert!(is_said, "{}\n{}", errors[0], imported.text);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The targets over the corpus, cut at every place.
    #[test]
    fn the_corpus_and_its_beginnings() {
        let targets = [
            ("rules", rules as fn(&[u8])),
            ("lists", lists),
            ("azion", azion),
        ];
        for (name, target) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
            let entries: Vec<_> = fs::read_dir(folder.join(name)).unwrap().collect();
            assert!(entries.len() >= 5, "{name} has a corpus");
            for entry in entries {
                let bytes = fs::read(entry.unwrap().path()).unwrap();
                (0..=bytes.len()).for_each(|end| target(&bytes[..end]));
            }
        }
    }
}
