//! The engine, driven by a clock of the test's own.

use std::sync::Arc;

use backlot_alerts::config::Config;
use backlot_alerts::engine::{Changes, Engine, Kept, Posted, Verdict};
use backlot_alerts::matcher::parse_matchers;
use backlot_alerts::{Labels, Notification, Silence, stamp};
use jiff::Timestamp;

const CONFIG: &str = r#"
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
  - matchers: [team="quiet"]
    receiver: silent
  - matchers: [team="night"]
    mute_time_intervals: [day]
receivers:
- name: hook
  webhook_configs: [{url: 'http://localhost:9/'}]
- name: silent
  webhook_configs: [{url: 'http://localhost:9/', send_resolved: false}]
inhibit_rules:
- source_matchers: [severity="down"]
  target_matchers: [severity="page"]
  equal: [host]
time_intervals:
- name: day
  time_intervals: [{times: [{start_time: '00:00', end_time: '12:30'}]}]
"#;

/// An engine, a clock and what was kept.
struct Stage {
    engine: Engine,
    kept: Kept,
    now: Timestamp,
}

fn labels(text: &str) -> Labels {
    text.split(' ').map(|pair| pair.split_once('=').unwrap()).collect()
}

impl Stage {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: &str) -> Self {
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let config = Arc::new(Config::parse(config).unwrap());
        Self { engine: Engine::new(config, Kept::default(), now), kept: Kept::default(), now }
    }

    fn keep(&mut self, changes: Changes) {
        self.kept.version = self.kept.version.max(changes.version);
        for (fingerprint, alert) in changes.alerts {
            self.kept.alerts.retain(|known| known.fingerprint() != fingerprint);
            self.kept.alerts.extend(alert);
        }
        for (key, entry) in changes.log {
            self.kept.log.retain(|(known, _)| *known != key);
            self.kept.log.extend(entry.map(|entry| (key, entry)));
        }
        for (id, silence) in changes.silences {
            self.kept.silences.retain(|known| known.id != id);
            self.kept.silences.extend(silence);
        }
    }

    fn post(&mut self, texts: &[&str]) {
        let post = |text: &&str| Posted {
            labels: labels(text),
            ends_at: Some(stamp::far_future()),
            ..Posted::default()
        };
        let (changes, refused) = self.engine.put(texts.iter().map(post).collect(), self.now);
        assert!(refused.is_empty(), "{refused:?}");
        self.keep(changes);
    }

    fn end(&mut self, text: &str) {
        let changes = self.engine.resolve(&[labels(text).fingerprint()], self.now);
        self.keep(changes);
    }

    /// Goes on by seconds, one by one, delivering at once; gives what was sent and when.
    fn pass(&mut self, seconds: i64) -> Vec<(i64, Notification)> {
        let mut sent = Vec::new();
        for second in 1..=seconds {
            self.now += jiff::SignedDuration::from_secs(1);
            let (changes, due) = self.engine.tick(self.now);
            self.keep(changes);
            for notification in due {
                let changes = self.engine.delivered(notification.id, Ok(()), self.now);
                self.keep(changes);
                sent.push((second, notification));
            }
        }
        sent
    }

    fn restart(&mut self) {
        self.engine = Engine::new(self.engine.config().clone(), self.kept.clone(), self.now);
    }

    /// `second receiver: a! b.` where `!` fires and `.` is over.
    fn told(&mut self, seconds: i64) -> Vec<String> {
        let show = |(second, sent): (i64, Notification)| {
            let alerts: Vec<String> = sent
                .alerts
                .iter()
                .map(|alert| {
                    let mark = if alert.is_resolved(sent.at) { "." } else { "!" };
                    format!("{}{mark}", alert.labels.get("host"))
                })
                .collect();
            format!("{second} {}: {}", sent.key.receiver, alerts.join(" "))
        };
        self.pass(seconds).into_iter().map(show).collect()
    }
}

#[test]
fn a_group_waits_then_tells_of_changes_at_its_interval_and_repeats() {
    let mut stage = Stage::new();
    stage.post(&["alertname=Disk host=a"]);
    assert_eq!(stage.told(10), Vec::<String>::new());
    stage.post(&["alertname=Disk host=b"]);
    assert_eq!(stage.told(25), ["20 hook: a! b!"]);
    stage.post(&["alertname=Disk host=c", "alertname=Disk host=a"]);
    // 5 minutes after the first; then nothing new for four hours.
    assert_eq!(stage.told(300), ["295 hook: a! b! c!"]);
    stage.end("alertname=Disk host=a");
    assert_eq!(stage.told(300), ["295 hook: a. b! c!"]);
    assert_eq!(stage.told(4 * 3600), ["14395 hook: b! c!"]);
    stage.end("alertname=Disk host=b");
    stage.end("alertname=Disk host=c");
    assert_eq!(stage.told(300), ["295 hook: b. c."]);
    assert_eq!(stage.told(3600), Vec::<String>::new());
    // The next beginning is a new group, which waits again.
    stage.post(&["alertname=Disk host=a"]);
    assert_eq!(stage.told(60), ["30 hook: a!"]);
}

#[test]
fn an_alert_that_was_there_for_long_does_not_wait() {
    let mut stage = Stage::new();
    let starts_at = Some("2026-11-29T11:00:00Z".parse().unwrap());
    let old = Posted { labels: labels("alertname=Old host=a"), starts_at, ..Posted::default() };
    let (changes, _) = stage.engine.put(vec![old], stage.now);
    stage.keep(changes);
    assert_eq!(stage.told(2), ["1 hook: a!"]);
}

#[test]
fn a_restart_in_the_middle_of_a_wait_tells_once_and_on_time() {
    for restarts in [vec![10], vec![1, 29], vec![31], vec![10, 40, 200]] {
        let mut stage = Stage::new();
        stage.post(&["alertname=Disk host=a"]);
        let mut told = Vec::new();
        for second in 1..=290 {
            if restarts.contains(&second) {
                stage.restart();
            }
            told.extend(stage.pass(1).into_iter().map(|_| second));
        }
        assert_eq!(told, [30], "{restarts:?}");
    }
}

#[test]
fn a_restart_keeps_the_interval_and_the_end_is_told() {
    let mut stage = Stage::new();
    stage.post(&["alertname=Disk host=a"]);
    assert_eq!(stage.told(40), ["30 hook: a!"]);
    stage.end("alertname=Disk host=a");
    stage.restart();
    assert_eq!(stage.told(300), ["290 hook: a."]);
    stage.restart();
    assert_eq!(stage.told(900), Vec::<String>::new());
}

#[test]
fn a_reload_keeps_timers_and_never_uninhibits() {
    let mut stage = Stage::new();
    stage.post(&[
        "alertname=Host host=a severity=down",
        "alertname=Disk host=a severity=page",
        "alertname=Disk host=b severity=page",
    ]);
    assert_eq!(stage.told(10).len(), 0);
    for _ in 0..5 {
        let config = Arc::new(Config::parse(&format!("{CONFIG}\n# again\n")).unwrap());
        stage.engine.reload(config, stage.now);
        let state = stage.engine.state(&labels("alertname=Disk host=a severity=page"), stage.now);
        assert_eq!(state.inhibited_by, Some(labels("alertname=Host host=a severity=down").fingerprint()));
        let told = stage.told(1);
        assert!(told.is_empty(), "{told:?}");
    }
    let mut told = stage.told(20);
    told.sort();
    assert_eq!(told, ["15 hook: a!", "15 hook: b!"]);
    stage.restart();
    assert!(stage.told(60).is_empty());
    // The inhibitor ends: what it held back is told at the group's next interval.
    stage.end("alertname=Host host=a severity=down");
    let mut told = stage.told(300);
    told.sort();
    assert_eq!(told, ["235 hook: a! b!", "235 hook: a."]);
}

#[test]
fn silences_hold_back_and_let_go() {
    let mut stage = Stage::new();
    let silence = Silence {
        id: String::new(),
        matchers: parse_matchers("host=a").unwrap(),
        starts_at: stage.now,
        ends_at: stage.now + jiff::SignedDuration::from_secs(200),
        updated_at: stage.now,
        created_by: "me".to_owned(),
        comment: "x".to_owned(),
        time_intervals: Vec::new(),
    };
    let (changes, id) = stage.engine.set_silence(silence, "one".to_owned(), stage.now).unwrap();
    stage.keep(changes);
    stage.post(&["alertname=Disk host=a"]);
    assert_eq!(stage.told(60), Vec::<String>::new());
    let why = stage.engine.explain(labels("alertname=Disk host=a").fingerprint(), stage.now).unwrap();
    assert_eq!((why.state.name(), why.silences[0].id.as_str()), ("suppressed", id.as_str()));
    assert_eq!(why.routes[0].history.last().unwrap().verdict, Verdict::Suppressed);
    stage.restart();
    assert_eq!(stage.told(400).len(), 1);
}

#[test]
fn times_mute_routes_and_ends_are_told_to_those_who_want_them() {
    let mut stage = Stage::new();
    stage.post(&["alertname=Night host=a team=night", "alertname=Quiet host=b team=quiet"]);
    assert_eq!(stage.told(60), ["30 silent: b!"]);
    stage.end("alertname=Quiet host=b team=quiet");
    assert_eq!(stage.told(600), Vec::<String>::new());
    // Told again, for the end was noted.
    stage.post(&["alertname=Quiet host=b team=quiet"]);
    assert_eq!(stage.told(60), ["30 silent: b!"]);
    // It is 12:12; the day ends at 12:30.
    assert_eq!(stage.told(1200), ["1110 hook: a!"]);
}

#[test]
fn alerts_that_nobody_sends_again_end_by_themselves() {
    let mut stage = Stage::new();
    let (changes, _) = stage
        .engine
        .put(vec![Posted { labels: labels("alertname=Once host=a"), ..Posted::default() }], stage.now);
    assert!(changes.transitions[0].firing);
    stage.keep(changes);
    assert_eq!(stage.told(31), ["30 hook: a!"]);
    assert_eq!(stage.told(600), ["299 hook: a."]);
    assert!(stage.kept.alerts.iter().all(|alert| !alert.announced));
}

#[test]
fn a_failure_is_tried_again_and_a_slow_receiver_is_not_told_twice() {
    let mut stage = Stage::new();
    stage.post(&["alertname=Disk host=a"]);
    stage.now += jiff::SignedDuration::from_secs(30);
    let (_, due) = stage.engine.tick(stage.now);
    assert_eq!(due.len(), 1);
    // It is still on its way at the next interval, then fails.
    stage.now += jiff::SignedDuration::from_mins(5);
    assert!(stage.engine.tick(stage.now).1.is_empty());
    let changes = stage.engine.delivered(due[0].id, Err("no answer".to_owned()), stage.now);
    assert!(changes.log.is_empty());
    assert_eq!(stage.told(300), ["300 hook: a!"]);
    let why = stage.engine.explain(labels("alertname=Disk host=a").fingerprint(), stage.now).unwrap();
    let verdicts: Vec<&Verdict> = why.routes[0].history.iter().map(|decision| &decision.verdict).collect();
    assert!(
        matches!(
            verdicts[..],
            [
                Verdict::Sending { .. },
                Verdict::StillSending,
                Verdict::Failed { .. },
                Verdict::Sending { .. },
                Verdict::Sent
            ]
        ),
        "{verdicts:?}"
    );
    assert!(why.routes[0].integrations[0].knows);
}

#[test]
fn a_clock_set_back_delays_nothing_for_longer_than_an_interval() {
    let mut stage = Stage::new();
    stage.post(&["alertname=Disk host=a"]);
    stage.now -= jiff::SignedDuration::from_hours(1);
    assert_eq!(stage.told(40), ["31 hook: a!"]);
    stage.now += jiff::SignedDuration::from_hours(2);
    assert!(stage.told(10).is_empty());
}

#[test]
fn a_hundred_thousand_groups_are_decided_quickly() {
    let mut stage = Stage::new();
    let post = |number: usize| Posted {
        labels: [("alertname", format!("a{number}")), ("host", "h".to_owned())].into_iter().collect(),
        ends_at: Some(stamp::far_future()),
        ..Posted::default()
    };
    let (_, refused) = stage.engine.put((0..100_000).map(post).collect(), stage.now);
    assert!(refused.is_empty());
    stage.now += jiff::SignedDuration::from_secs(30);
    let (_, due) = stage.engine.tick(stage.now);
    assert_eq!(due.len(), 100_000);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever happens, a restart between any two events loses and repeats nothing. (It may look at a quiet group earlier, for
    /// looks that had nothing to tell are not kept, and the group's interval goes on from there.)
    #[test]
    fn restarts_lose_and_repeat_nothing(events in proptest::collection::vec((0u8..4, 0usize..3, 1i64..200), 1..12), at in 0usize..12) {
        let run = |restart: Option<usize>| {
            let mut stage = Stage::new();
            let (mut told, mut begun): (Vec<(i64, String)>, i64) = (Vec::new(), 0);
            for (position, (kind, host, seconds)) in events.iter().enumerate() {
                let alert = format!("alertname=Disk host={}", ["a", "b", "c"][*host]);
                match kind {
                    0 | 1 => stage.post(&[&alert]),
                    2 => stage.end(&alert),
                    _ => {}
                }
                if restart == Some(position) {
                    stage.restart();
                }
                for text in stage.told(*seconds) {
                    let (second, what) = text.split_once(' ').unwrap();
                    told.push((begun + second.parse::<i64>().unwrap(), what.to_owned()));
                }
                begun += seconds;
            }
            told
        };
        let (without, with) = (run(None), run(Some(at % events.len())));
        for pair in with.windows(2) {
            proptest::prop_assert!(pair[0].1 != pair[1].1, "repeated: {:?}", with);
        }
        for mark in ["a!", "b!", "c!"] {
            let first = |told: &[(i64, String)]| told.iter().find(|(_, what)| what.contains(mark)).map(|(second, _)| *second);
            if let Some(second) = first(&without) {
                let ended: i64 = events.iter().map(|(_, _, seconds)| seconds).sum();
                // Within the interval, if the events go on for that long.
                let came = first(&with).map_or(ended < second + 300, |other| other <= second + 300);
                proptest::prop_assert!(came, "{}: {:?} {:?}", mark, without, with);
            }
        }
    }
}
