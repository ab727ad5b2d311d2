//! What clients of the agent and of Atlas send.

use std::sync::OnceLock;

use backlot_atlas::demo::Demo;
use backlot_atlas::graph::{Defaults, Graph, Request};
use backlot_atlas::wire::{Json, Smile, read_publish, read_update};
use backlot_spectator::line::Line;
use backlot_spectator::statsd::StatsdLine;
use jiff::tz::TimeZone;

pub(crate) fn lines(bytes: &[u8]) {
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Ok(line) = Line::cut(line) {
            drop(line.id());
        }
    }
}

pub(crate) fn statsd(bytes: &[u8]) {
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Ok(line) = StatsdLine::cut(line) {
            drop(line.id());
            assert!(line.values().count() <= bytes.len(), "more values than bytes");
        }
    }
}

pub(crate) fn smile(bytes: &[u8]) {
    if let Ok(mut tokens) = Smile::new(bytes) {
        drop(read_update(&mut tokens, |_, _, _| ()));
    }
    drop(read_update(&mut Json::new(bytes), |_, _, _| ()));
}

pub(crate) fn publish(bytes: &[u8]) {
    drop(read_publish(&mut Json::new(bytes), |_| Ok(())));
    if let Ok(mut tokens) = Smile::new(bytes) {
        drop(read_publish(&mut tokens, |_| Ok(())));
    }
}

/// The text is a query; the window is five minutes of the demo data, so that an input takes microseconds.
pub(crate) fn expressions(bytes: &[u8]) {
    static DATA: OnceLock<Demo> = OnceLock::new();
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let defaults = Defaults { now: 1_328_054_400_000, step: 60_000, zone: TimeZone::UTC };
    let parameters = [("q", query), ("s", "e-5m"), ("format", "std.json")];
    let Ok(request) = Request::read(parameters, &defaults) else { return };
    if let Ok(graph) = Graph::evaluate(request, DATA.get_or_init(Demo::small)) {
        drop(graph.render());
    }
}
