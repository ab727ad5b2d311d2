//! Words that say how lines are shown.

use super::Operand::{Lines, Text};
use super::{Form, Operand};
use crate::Error;
use crate::stack::{Item, Machine};

const VALUE: &[Operand] = &[Lines, Text];

const fn form(
    word: &'static str,
    operands: &'static [Operand],
    about: &'static str,
    action: fn(&mut Machine) -> Result<(), Error>,
) -> Form {
    Form { word, operands, result: "StyleExpr", about, action }
}

pub(super) const FORMS: &[Form] = &[
    form("legend", VALUE, "The legend; $key stands for a tag's value.", |m| set(m, "legend")),
    form("axis", VALUE, "The number of the axis, from 0.", |m| set(m, "axis")),
    form("alpha", VALUE, "The opacity in hexadecimal, 00 to ff.", |m| set(m, "alpha")),
    form("color", VALUE, "The colour: RGB, RRGGBB, AARRGGBB in hexadecimal, or a name.", |m| set(m, "color")),
    form("palette", VALUE, "The palette for the lines of an expression.", |m| set(m, "palette")),
    form("lw", VALUE, "The width of lines in pixels.", |m| set(m, "lw")),
    form("ls", VALUE, "The style: line, area, stack, vspan, heatmap.", |m| set(m, "ls")),
    form("sort", VALUE, "The order of lines: legend, or a statistic.", |m| set(m, "sort")),
    form("order", VALUE, "asc or desc.", |m| set(m, "order")),
    form("limit", VALUE, "Most lines.", |m| set(m, "limit")),
    form("head", VALUE, "As :limit.", |m| set(m, "limit")),
    form("line", &[Lines], "Shown as lines.", |m| style(m, "line")),
    form("area", &[Lines], "Shown as areas.", |m| style(m, "area")),
    form("stack", &[Lines], "Stacked.", |m| style(m, "stack")),
    form("vspan", &[Lines], "Shown as bands in time where true.", |m| style(m, "vspan")),
    form("heatmap", &[Lines], "Shown as a heat map.", |m| style(m, "heatmap")),
    form("percentiles-heatmap", &[Lines], "The buckets of a percentile meter as a heat map.", |m| {
        m.run_macro("(,percentile,),:cg")?;
        style(m, "heatmap")
    }),
    form("decode", VALUE, "Decodes the legend: hex, none.", |m| {
        let mode = m.pop_text()?;
        substitution(m, &format!("{},:decode", Item::text(&mode)))
    }),
    form("s", &[Lines, Text, Text], "Replaces in the legend: regular expression, replacement.", |m| {
        let replacement = m.pop_text()?;
        let search = m.pop_text()?;
        substitution(m, &format!("{},{},:s", Item::text(&search), Item::text(&replacement)))
    }),
    form("strip-style", &[Lines], "As it is by default.", |m| {
        let expr = m.pop_expr()?;
        m.push(expr)
    }),
];

fn set(machine: &mut Machine, word: &str) -> Result<(), Error> {
    let value = machine.pop_text()?;
    let mut styled = machine.pop_styled()?;
    styled.settings.insert(word.into(), value);
    machine.push(styled)
}

fn style(machine: &mut Machine, style: &str) -> Result<(), Error> {
    let mut styled = machine.pop_styled()?;
    styled.settings.insert("ls".into(), style.into());
    machine.push(styled)
}

fn substitution(machine: &mut Machine, command: &str) -> Result<(), Error> {
    let mut styled = machine.pop_styled()?;
    let all = match styled.get("sed") {
        Some(before) => format!("{before},{command}"),
        None => command.to_owned(),
    };
    styled.settings.insert("sed".into(), all.into());
    machine.push(styled)
}
