//! Rules: what is evaluated, and the form that changes it.

use axum::extract::{Path, RawQuery};
use axum::response::Redirect;
use backlot_alerts::Labels;
use backlot_web::console::widgets::{self, Action, Table, Weight};
use backlot_web::console::{self, Frame, Status, format};
use backlot_web::extract::Form;
use backlot_web::{ApiError, Caller};
use maud::{Markup, html};
use serde::Deserialize;

use super::tabs;
use crate::alerts::random_id;
use crate::alerts::rules::{MOST_RULES, Rule, RuleSpec};
use crate::alerts::rules_door::{Alerts, keep};
use crate::atlas_door::Parameters;

/// Rules on one page.
const PAGE: usize = 100;

pub(super) async fn page(Alerts(alerting): Alerts, frame: Frame, RawQuery(query): RawQuery) -> Markup {
    let parameters = Parameters::read(query.as_deref());
    let text = parameters.get("q").unwrap_or_default().to_lowercase();
    let mut rules: Vec<Rule> = alerting
        .rules()
        .values()
        .filter(|rule| {
            rule.spec.name.to_lowercase().contains(&text)
                || rule.spec.expression.to_lowercase().contains(&text)
        })
        .cloned()
        .collect();
    rules.sort_by(|left, right| (&left.spec.name, &left.id).cmp(&(&right.spec.name, &right.id)));
    let found = rules.len();
    rules.truncate(PAGE);
    let counts = alerting.counts(rules.iter().map(|rule| rule.id.clone()).collect()).await;
    let mut table = Table::new(["Rule", "State", "Expression", "For", "Firing"]).numeric(&[4]);
    for rule in &rules {
        let error = alerting.error_of(&rule.id);
        let (firing, holding) = counts.get(&rule.id).copied().unwrap_or_default();
        let status = match (&error, rule.spec.enabled, firing, holding) {
            (Some(_), ..) => Status::Degraded,
            (_, false, ..) => Status::Paused,
            (_, _, 1.., _) => Status::Failed,
            (_, _, _, 1..) => Status::Pending,
            _ => Status::Ready,
        };
        table.push([
            html! { a href={ "/alerts/rules/" (rule.id) } { strong { (rule.spec.name) } } },
            html! { (widgets::chip(&status)) @if let Some(error) = &error { " " (error) } },
            html! { a href=(widgets::link("/metrics", &[("q", &rule.spec.expression)])) { code { (rule.spec.expression) } } },
            html! { (rule.spec.wait) },
            html! { (firing) },
        ]);
    }
    let progress = alerting.progress();
    let dropped = progress.late + progress.refused + alerting.feed.dropped() + alerting.hub.dropped();
    let body = html! {
        (tabs("Rules", None))
        (widgets::stats([
            widgets::stat("Rules", &format::number(progress.rules as u64), "evaluated"),
            widgets::stat("Series", &format::number(progress.series as u64), "that they may want"),
            widgets::stat("Last step", &format!("{:.1} ms", progress.took.as_secs_f64() * 1000.0), "to evaluate all"),
            widgets::stat("Not evaluated", &format::number(dropped), "values: late, or too many"),
        ]))
        form.bar method="get" action="/alerts/rules" {
            label { "Name or expression" input name="q" value=(text) size="40"; }
            button.button type="submit" { "Narrow" }
        }
        @if table.is_empty() { (widgets::empty("No rules", html! { "An expression that is not zero is an alert" })) } @else { (table.render()) }
        @if found > rules.len() { p.note { "The first " (rules.len()) " of " (format::number(found as u64)) } }
        (widgets::section("A new rule", form(None)))
    };
    console::page(&frame.wide(), "Alert rules", body)
}

fn form(rule: Option<&Rule>) -> Markup {
    let spec = rule.map(|rule| &rule.spec);
    let text = |of: fn(&RuleSpec) -> &str| spec.map_or("", of);
    let pairs = |labels: Option<&Labels>| {
        let lines =
            labels.into_iter().flat_map(Labels::iter).map(|(name, value)| format!("{name}={value}\n"));
        lines.collect::<String>()
    };
    let action = rule.map_or_else(|| "/alerts/rules".to_owned(), |rule| format!("/alerts/rules/{}", rule.id));
    html! {
        form.bar method="post" action=(action) {
            label { "Name" input name="name" required value=(text(|spec| &spec.name)) size="30"; }
            label { "For" input name="wait" value=(text(|spec| &spec.wait)) size="6" placeholder="5m"; }
            label { "Expression" textarea name="expression" rows="3" cols="80" required spellcheck="false" placeholder="name,requests,:eq,:sum,80,:gt" { (text(|spec| &spec.expression)) } }
            label { "Labels, one name=value a line" textarea name="labels" rows="3" cols="40" { (pairs(spec.map(|spec| &spec.labels))) } }
            label { "Annotations; $key and $value are the line's" textarea name="annotations" rows="3" cols="40" { (pairs(spec.map(|spec| &spec.annotations))) } }
            label { "Evaluated" input type="checkbox" name="enabled" value="true" checked[spec.is_none_or(|spec| spec.enabled)]; }
            button.button.primary type="submit" { "Keep" }
        }
    }
}

pub(super) async fn edit(
    Alerts(alerting): Alerts,
    frame: Frame,
    Path(id): Path<String>,
) -> Result<Markup, ApiError> {
    let missing = || ApiError::not_found("there is no such rule", "look at the list again");
    let rule = alerting.rules().get(&id).cloned().ok_or_else(missing)?;
    let delete = format!("/alerts/rules/{id}/delete");
    let body = html! {
        @if let Some(error) = alerting.error_of(&id) { p.alert role="alert" { (error) } }
        p.muted { "Last changed by " (rule.updated_by) }
        (form(Some(&rule)))
        (Action { label: "Delete", path: &delete, confirm: Some("Its alerts end with it."), weight: Weight::Danger, ..Action::default() }.render())
    };
    Ok(console::page(&frame.crumb("Alert rules", "/alerts/rules").wide(), &rule.spec.name, body))
}

#[derive(Deserialize)]
pub(super) struct RuleForm {
    name: String,
    expression: String,
    #[serde(default)]
    wait: String,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    annotations: String,
    #[serde(default)]
    enabled: Option<String>,
}

impl RuleForm {
    fn spec(self) -> Result<RuleSpec, ApiError> {
        let pairs = |text: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let pair = |line: &str| {
                let (name, value) = line.split_once('=').ok_or_else(|| {
                    ApiError::bad_request(
                        format!("`{line}` is not name=value"),
                        "go back and correct the form",
                    )
                })?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            };
            lines.map(pair).collect::<Result<Labels, ApiError>>()
        };
        Ok(RuleSpec {
            labels: pairs(&self.labels)?,
            annotations: pairs(&self.annotations)?,
            name: self.name,
            expression: self.expression.split_whitespace().collect::<Vec<_>>().join(" "),
            wait: self.wait.trim().to_owned(),
            enabled: self.enabled.is_some(),
        })
    }
}

pub(super) async fn create(
    Alerts(alerting): Alerts,
    caller: Caller,
    Form(form): Form<RuleForm>,
) -> Result<Redirect, ApiError> {
    if alerting.rules().len() >= MOST_RULES {
        return Err(ApiError::conflict(format!("there are {MOST_RULES} rules already"), "delete some"));
    }
    keep(&alerting, random_id(), form.spec()?, &caller).await?;
    Ok(Redirect::to("/alerts/rules"))
}

pub(super) async fn change(
    Alerts(alerting): Alerts,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<RuleForm>,
) -> Result<Redirect, ApiError> {
    if !alerting.rules().contains_key(&id) {
        return Err(ApiError::not_found("there is no such rule", "look at the list again"));
    }
    keep(&alerting, id, form.spec()?, &caller).await?;
    Ok(Redirect::to("/alerts/rules"))
}

pub(super) async fn remove(Alerts(alerting): Alerts, Path(id): Path<String>) -> Result<Redirect, ApiError> {
    alerting.remove_rule(id).await?;
    Ok(Redirect::to("/alerts/rules"))
}
