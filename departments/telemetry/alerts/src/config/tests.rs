use super::*;
use crate::Labels;

const FILE: &str = r#"
global:
  resolve_timeout: 1m
  smtp_smarthost: mail.example.org:587
  smtp_from: alerts@example.org
  slack_api_url: https://example.org
route:
  receiver: all
  group_by: [alertname, cluster]
  group_wait: 1s
  routes:
  - match: {service: db}
    match_re:
      severity: page|ticket
    receiver: db
    continue: true
    group_interval: 1m30s
    routes:
    - matchers: ['owner = "a,b"', team != x]
      receiver: owner
      group_by: ['...']
  - matchers: ['service="db"']
    receiver: all
    group_by: []
    mute_time_intervals: [weekend]
receivers:
- name: all
  webhook_configs:
  - url: http://localhost:1/x
    send_resolved: false
    http_config: {basic_auth: {username: me, password: pass}}
- name: db
  email_configs:
  - to: a@example.org, b@example.org
    headers: {subject: '{{ .CommonLabels.alertname }}'}
- name: owner
  command_configs:
  - command: [/bin/true, --x]
    timeout: 5s
inhibit_rules:
- source_matchers: [severity="page"]
  target_match: {severity: ticket}
  equal: [cluster]
time_intervals:
- name: weekend
  time_intervals:
  - weekdays: ['saturday', 'sunday']
    location: Europe/Berlin
templates: ['x.tmpl']
"#;

fn labels(text: &str) -> Labels {
    text.split(' ').map(|pair| pair.split_once('=').unwrap()).collect()
}

#[test]
fn the_whole_file_is_read() {
    let config = Config::parse(FILE).unwrap();
    assert_eq!(config.resolve_timeout, Duration::from_secs(60));
    let keys: Vec<&str> = config.routes.iter().map(|route| route.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "{}",
            r#"{}/{service="db",severity=~"^(?:page|ticket)$"}"#,
            r#"{}/{service="db",severity=~"^(?:page|ticket)$"}/{owner="a,b",team!="x"}"#,
            r#"{}/{service="db"}"#
        ]
    );
    let owner = &config.routes[2];
    assert_eq!((owner.group_wait, owner.group_interval), (Duration::from_secs(1), Duration::from_secs(90)));
    assert_eq!(owner.group_by, GroupBy::All);
    assert_eq!(config.routes[3].group_by, config.routes[0].group_by, "an empty list is the parent's");
    assert_eq!(config.routes[1].group_labels(&labels("alertname=a x=y")), labels("alertname=a"));
    let Target::Webhook(webhook) = &config.receivers["all"].integrations[0].target else { panic!() };
    assert_eq!(webhook.authorization.as_ref().unwrap().0, "Basic bWU6cGFzcw==");
    assert!(!format!("{webhook:?}").contains("bWU6"));
    assert!(!config.receivers["all"].integrations[0].send_resolved);
    let Target::Email(email) = &config.receivers["db"].integrations[0].target else { panic!() };
    assert!(email.require_tls && email.from == "alerts@example.org");
    assert_eq!(config.inhibit_rules[0].equal, ["cluster"]);
}

#[test]
fn alerts_take_the_deepest_route_and_go_on_where_told() {
    let config = Config::parse(FILE).unwrap();
    let receivers = |text: &str| {
        let of = |route: RouteId| config.routes[route].receiver.as_str();
        config.matching(&labels(text)).into_iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(receivers("service=web"), ["all"]);
    assert_eq!(receivers("service=db severity=page"), ["db", "all"]);
    assert_eq!(receivers("service=db severity=page owner=a,b"), ["owner", "all"]);
    assert_eq!(receivers("service=db severity=pages"), ["all"]);
}

#[test]
fn slips_are_told_with_their_place() {
    for (from, to, part) in [
        ("receiver: owner\n", "receiver: nobody\n", "no receiver `nobody`"),
        ("[weekend]", "[workdays]", "no time interval `workdays`"),
        ("1m30s", "90", "`90` is no duration"),
        ("['...']", "['...', a]", "group_by has `...`"),
        ("webhook_configs", "slack_configs", "`slack_configs` is not one of"),
        ("page|ticket", "page(", "invalid regular expression"),
        ("command: [/bin/true, --x]", "command: []", "no program"),
        ("http://localhost:1/x", "ftp://x", "no URL"),
        ("continue: true", "continue: maybe", "no boolean"),
        ("group_wait: 1s", "group_wait: 1s\n  wait: 2s", "unknown field `wait`"),
        ("{{ .CommonLabels.alertname }}", "{{ range .Alerts }}", "not supported"),
        ("group_interval: 1m30s", "group_interval: 0s", "longer than nothing"),
        ("receiver: all\n  group_by", "group_by", "names no receiver"),
        ("send_resolved: false", "send_resolved: false\n    send_resolved: true", "stands twice"),
        ("mail.example.org:587", "mail.example.org", "HOST:PORT"),
    ] {
        assert!(FILE.contains(from), "{from}");
        let error = Config::parse(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(Config::parse("").unwrap_err().to_string().contains("root route"));
}

#[test]
fn the_default_is_one() {
    assert!(Config::default().receivers["console"].integrations.is_empty());
}

#[test]
fn secrets_are_not_shown() {
    let text = FILE
        .replace("http://localhost:1/x", "http://me:hush@localhost:1/x")
        .replace("password: pass", "password: 'pa,ss'");
    let config = Config::parse(&text).unwrap();
    assert!(!config.original.contains("hush") && !config.original.contains("pa,ss"), "{}", config.original);
    assert!(config.original.contains("password: <secret>") && config.original.contains("<secret>@localhost"));
    // What is shown is still a configuration, which amtool reads.
    assert!(Config::parse(&config.original).is_ok());
}
