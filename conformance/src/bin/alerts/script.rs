//! One script for both servers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::AnyError;
use crate::hook::Hook;
use crate::servers::{self, Server};

/// Routing with everything that changes who is told what: a tree, `continue`, two ways of grouping, matchers of each kind, an
/// inhibition with equal labels, a muted route, a receiver that does not want ends, a name that is no plain word.
const CONFIG: &str = r#"
global: {resolve_timeout: 1h}
route:
  receiver: all
  group_by: [alertname, cluster]
  group_wait: 1s
  group_interval: 3s
  repeat_interval: 1h
  routes:
  - matchers: [service="db"]
    receiver: db.team-1
    continue: true
    group_by: ['...']
    routes:
    - match_re: {severity: page|ticket}
      receiver: db-page
      group_by: [cluster]
  - matchers: ['team!=""', 'team!~"n.*"']
    receiver: teams
    group_by: []
  - matchers: [team="night"]
    receiver: muted
    mute_time_intervals: [always]
receivers:
- name: all
  webhook_configs: [{url: 'HOOK/all'}]
- name: db.team-1
  webhook_configs: [{url: 'HOOK/db', max_alerts: 1}]
- name: db-page
  webhook_configs: [{url: 'HOOK/page', send_resolved: false}, {url: 'HOOK/page-ends'}]
- name: teams
  webhook_configs: [{url: 'HOOK/teams'}]
- name: muted
  webhook_configs: [{url: 'HOOK/muted'}]
inhibit_rules:
- source_matchers: [severity="down"]
  target_matchers: [severity=~"page|ticket"]
  equal: [cluster, zone]
time_intervals:
- name: always
  time_intervals: [{years: ['2020:2090']}]
"#;

fn alert(text: &str, ends: bool) -> Value {
    let labels: Value = text
        .split(' ')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let ends_at = if ends { "2020-01-01T00:00:10Z" } else { "2099-01-01T00:00:00Z" };
    let name = labels["alertname"].clone();
    json!({ "labels": labels, "annotations": { "summary": name, "note": "same" }, "endsAt": ends_at, "generatorURL": "http://g/x" })
}

/// What happens, and when: tenths of a second after the start. Between the events and the flushes (at 1, 4, 7, … seconds) is half a
/// second.
fn events() -> Vec<(u64, Event)> {
    let fire = |texts: &[&str]| Event::Post(texts.iter().map(|text| alert(text, false)).collect());
    let end = |texts: &[&str]| Event::Post(texts.iter().map(|text| alert(text, true)).collect());
    vec![
        (
            0,
            fire(&[
                "alertname=Disk cluster=a host=1",
                "alertname=Disk cluster=a host=2 job=z",
                "alertname=Disk cluster=b host=3",
                "alertname=Slow service=db cluster=a severity=page",
                "alertname=Slow service=db cluster=b severity=ticket zone=1",
                "alertname=Lag service=db cluster=a severity=info",
                "alertname=Team team=x",
                "alertname=Night team=night",
                "alertname=Down cluster=a severity=down",
            ]),
        ),
        (
            4,
            fire(&[
                "alertname=Disk cluster=a host=4 instance=i",
                "alertname=Team2 team=y",
                "alertname=Slow service=db cluster=b severity=page zone=2",
            ]),
        ),
        (20, fire(&["alertname=Disk cluster=a host=5"])),
        (22, Event::Silence(json!([{ "name": "host", "value": "3|6", "isRegex": true, "isEqual": true }]))),
        (25, fire(&["alertname=Disk cluster=b host=6"])),
        (
            50,
            end(&[
                "alertname=Disk cluster=a host=1",
                "alertname=Down cluster=a severity=down",
                "alertname=Slow service=db cluster=b severity=page zone=2",
            ]),
        ),
        (55, end(&["alertname=Team team=x", "alertname=Team2 team=y"])),
        (80, fire(&["alertname=Disk cluster=b host=7", "alertname=Team team=x"])),
        (
            85,
            end(&[
                "alertname=Lag service=db cluster=a severity=info",
                "alertname=Disk cluster=a host=2 job=z",
            ]),
        ),
    ]
}

enum Event {
    Post(Vec<Value>),
    Silence(Value),
}

/// The script's last flush is at 13 seconds.
const LAST: Duration = Duration::from_millis(14_500);

/// Posts JSON.
pub(crate) async fn post(url: String, body: Value) -> Result<Value, AnyError> {
    let text = tokio::task::spawn_blocking(move || -> Result<String, ureq::Error> {
        let mut answer = ureq::post(&url).send_json(&body)?;
        answer.body_mut().read_to_string()
    })
    .await??;
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn act(url: String) -> Result<(), AnyError> {
    let begun = Instant::now();
    for (tenths, event) in events() {
        tokio::time::sleep((Duration::from_millis(tenths * 100)).saturating_sub(begun.elapsed())).await;
        match event {
            Event::Post(alerts) => drop(post(format!("{url}/api/v2/alerts"), alerts.into()).await?),
            Event::Silence(matchers) => {
                let silence = json!({
                    "matchers": matchers, "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
                    "createdBy": "script", "comment": "quiet",
                });
                drop(post(format!("{url}/api/v2/silences"), silence).await?);
            }
        }
    }
    tokio::time::sleep(LAST.saturating_sub(begun.elapsed())).await;
    Ok(())
}

/// Both servers, side by side: the same alerts must be told in the same groups, in the same order.
pub(crate) async fn same_groups() -> Result<String, AnyError> {
    let folder = tempfile::tempdir()?;
    let mut hooks = Vec::new();
    let mut running: Vec<Server> = Vec::new();
    for name in ["ours", "theirs"] {
        let home = folder.path().join(name);
        std::fs::create_dir(&home)?;
        let hook = Hook::start().await?;
        let file = home.join("alertmanager.yml");
        std::fs::write(&file, CONFIG.replace("HOOK", &hook.url))?;
        running.push(match name {
            "ours" => servers::ours(&home, &file, servers::free_port()?).await?,
            _ => servers::theirs(&home, &file).await?,
        });
        hooks.push(hook);
    }
    let (ours, theirs) = tokio::join!(act(running[0].url.clone()), act(running[1].url.clone()));
    ours?;
    theirs?;
    let (ours, theirs) = (hooks[0].story(), hooks[1].story());
    let groups: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for group in &groups {
        if ours.get(*group) != theirs.get(*group) {
            let show = |story: Option<&Vec<Value>>| serde_json::to_string_pretty(&story).unwrap_or_default();
            return Err(format!(
                "{group}\nours {}\ntheirs {}",
                show(ours.get(*group)),
                show(theirs.get(*group))
            )
            .into());
        }
    }
    // And what both show is the same.
    let mut shown = Vec::new();
    for server in &running {
        let mut lists = Vec::new();
        for path in [
            "alerts",
            "alerts/groups",
            "alerts?silenced=false&inhibited=false",
            "alerts?filter=cluster%3D~%22a%7Cb%22&receiver=all",
        ] {
            let url = format!("{}/api/v2/{path}", server.url);
            let text =
                tokio::task::spawn_blocking(move || ureq::get(&url).call()?.body_mut().read_to_string())
                    .await??;
            lists.push(without_times(serde_json::from_str(&text)?));
        }
        shown.push(lists);
    }
    if shown[0] != shown[1] {
        return Err(format!("the lists differ\nours {}\ntheirs {}", json!(shown[0]), json!(shown[1])).into());
    }
    let told: usize = ours.values().map(Vec::len).sum();
    Ok(format!("{} groups, {told} notifications, {} lists", groups.len(), shown[0].len()))
}

/// A list without times and silences' ids, and without what the newer API adds.
fn without_times(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let keep = |(key, value): (String, Value)| match key.as_str() {
                "updatedAt" | "startsAt" | "endsAt" | "mutedBy" => None,
                "silencedBy" => Some((key, json!(value.as_array().map_or(0, Vec::len)))),
                _ => Some((key, without_times(value))),
            };
            Value::Object(members.into_iter().filter_map(keep).collect())
        }
        Value::Array(items) => items.into_iter().map(without_times).collect(),
        other => other,
    }
}

/// Kills our server in the middle of a group's wait.
pub(crate) async fn killed_in_the_wait() -> Result<String, AnyError> {
    let folder = tempfile::tempdir()?;
    let hook = Hook::start().await?;
    let file = folder.path().join("alertmanager.yml");
    let text = "route: {receiver: a, group_by: [alertname], group_wait: 3s, group_interval: 1s}\nreceivers: [{name: a, webhook_configs: [{url: 'HOOK/a'}]}]";
    std::fs::write(&file, text.replace("HOOK", &hook.url))?;
    let port = servers::free_port()?;
    let mut server = servers::ours(folder.path(), &file, port).await?;
    let begun = Instant::now();
    post(format!("{}/api/v2/alerts", server.url), json!([alert("alertname=Disk", false)])).await?;
    server.child.kill().await?;
    drop(server);
    let mut server = servers::ours(folder.path(), &file, port).await?;
    hook.wait(1, Duration::from_secs(10)).await?;
    let waited = begun.elapsed();
    // Killed again after it told; then a marker passes through a whole wait and several intervals.
    server.child.kill().await?;
    drop(server);
    let server = servers::ours(folder.path(), &file, port).await?;
    post(format!("{}/api/v2/alerts", server.url), json!([alert("alertname=Marker", false)])).await?;
    hook.wait(2, Duration::from_secs(10)).await?;
    let of_disk = hook.bodies().iter().filter(|body| body["groupLabels"]["alertname"] == "Disk").count();
    if of_disk != 1 {
        return Err(format!("told {of_disk} times").into());
    }
    if waited < Duration::from_millis(2900) {
        return Err(format!("told after {waited:?}, before its wait of 3 s was over").into());
    }
    Ok(format!("told once, {:.1} s after the alert with a wait of 3 s", waited.as_secs_f64()))
}
