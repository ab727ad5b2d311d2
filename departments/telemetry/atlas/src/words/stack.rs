//! Words that move what lies on the stack.

use super::Operand::{Any, List, Number, Text};
use super::{Form, Operand};
use crate::Error;
use crate::stack::{self, Item, MOST_ITEMS, Machine};

const fn form(
    word: &'static str,
    operands: &'static [Operand],
    result: &'static str,
    about: &'static str,
    action: fn(&mut Machine) -> Result<(), Error>,
) -> Form {
    Form { word, operands, result, about, action }
}

pub(super) const FORMS: &[Form] = &[
    form("dup", &[Any], "Any Any", "Copies the item on top.", |m| {
        let item = m.pop()?;
        m.push(item.clone())?;
        m.push(item)
    }),
    form("drop", &[Any], "", "Removes the item on top.", |m| m.pop().map(drop)),
    form("swap", &[Any, Any], "Any Any", "Swaps the two items on top.", |m| reorder(m, 2, &[1, 0])),
    form("over", &[Any, Any], "Any Any Any", "Copies the item below the top.", |m| reorder(m, 2, &[0, 1, 0])),
    form("2over", &[Any, Any], "Any Any Any Any", "Copies the two items on top.", |m| {
        reorder(m, 2, &[0, 1, 0, 1])
    }),
    form("nip", &[Any, Any], "Any", "Removes the item below the top.", |m| reorder(m, 2, &[1])),
    form("tuck", &[Any, Any], "Any Any Any", "Copies the top below the item under it.", |m| {
        reorder(m, 2, &[1, 0, 1])
    }),
    form("rot", &[Any], "*", "Moves the bottom of the stack to the top.", |m| {
        m.stack.rotate_left(1);
        Ok(())
    }),
    form("-rot", &[Any], "*", "Moves the top of the stack to the bottom.", |m| {
        m.stack.rotate_right(1);
        Ok(())
    }),
    form("reverse", &[List], "List", "Reverses a list.", |m| {
        let mut items = m.pop_list()?.items().to_vec();
        items.reverse();
        m.push(stack::List::new(items)?)
    }),
    form("pick", &[Number], "Any", "Copies the item this far below the top.", |m| {
        let at = below(m)?;
        let item = m.stack[at].clone();
        m.push(item)
    }),
    form("roll", &[Number], "Any", "Moves the item this far below the top to the top.", |m| {
        let at = below(m)?;
        let item = m.stack.remove(at);
        m.push(item)
    }),
    form("ndrop", &[Number], "", "Removes this many items.", |m| {
        let count = m.pop_whole(MOST_ITEMS)?;
        m.stack.truncate(m.stack.len().saturating_sub(count));
        Ok(())
    }),
    form("nlist", &[Number], "List", "Makes a list of this many items on top.", |m| {
        let count = m.pop_whole(MOST_ITEMS)?;
        let under = m.stack.len().saturating_sub(count);
        let items = m.stack.split_off(under);
        m.push(stack::List::new(items)?)
    }),
    form("list", &[], "List", "Makes a list of the whole stack.", |m| {
        let items = std::mem::take(&mut m.stack);
        m.push(stack::List::new(items)?)
    }),
    form("depth", &[], "Number", "How many items are on the stack.", |m| {
        let depth = m.stack.len().to_string();
        m.push(Item::Text(depth.into()))
    }),
    form("clear", &[], "", "Removes all items.", |m| {
        m.clear();
        Ok(())
    }),
    form("freeze", &[], "", "Keeps what is on the stack as results, out of reach of later words.", |m| {
        m.freeze();
        Ok(())
    }),
    form("call", &[List], "*", "Executes a list.", |m| {
        let list = m.pop_list()?;
        m.call(&list)
    }),
    form("each", &[List, List], "*", "Executes the second list for each item of the first.", |m| {
        let body = m.pop_list()?;
        for item in m.pop_list()?.items() {
            m.push(item.clone())?;
            m.call(&body)?;
        }
        Ok(())
    }),
    form(
        "map",
        &[List, List],
        "List",
        "The list of what the second list makes of each item of the first.",
        |m| {
            let body = m.pop_list()?;
            let items = m.pop_list()?;
            let under = m.stack.len();
            for item in items.items() {
                m.push(item.clone())?;
                m.call(&body)?;
            }
            let results = m.stack.split_off(under.min(m.stack.len()));
            m.push(stack::List::new(results)?)
        },
    ),
    form("set", &[Text, Any], "", "Sets a variable: its name, its value.", |m| {
        let value = m.pop()?;
        set(m, value)
    }),
    form("sset", &[Any, Text], "", "Sets a variable: its value, its name.", |m| {
        let name = m.pop()?;
        let value = m.pop()?;
        m.push(name)?;
        set(m, value)
    }),
    form("get", &[Text], "Any", "The value of a variable.", |m| {
        let value = get(m)?;
        m.push(value)
    }),
    form("fcall", &[Text], "*", "Executes the list that a variable holds.", |m| match get(m)? {
        Item::List(list) => m.call(&list),
        _ => Err(Error::state("the variable holds no list")),
    }),
    form("format", &[Text, List], "String", "Puts the items of a list for the %s of a pattern.", |m| {
        let items = m.pop_list()?;
        let pattern = m.pop_text()?;
        let text = format_text(&pattern, items.items())?;
        m.push(Item::text(&text))
    }),
];

/// Replaces the `count` items on top by copies of them in this order.
fn reorder(machine: &mut Machine, count: usize, order: &[usize]) -> Result<(), Error> {
    let under = machine.stack.len() - count;
    let items = machine.stack.split_off(under);
    order.iter().try_for_each(|&position| machine.push(items[position].clone()))
}

/// The position of the item that is as far below the top as the number on top says.
fn below(machine: &mut Machine) -> Result<usize, Error> {
    let distance = machine.pop_whole(MOST_ITEMS)?;
    let at = machine.stack.len().checked_sub(distance + 1);
    at.ok_or_else(|| Error::state(format!("the stack has no item {distance} below its top")))
}

fn set(machine: &mut Machine, value: Item) -> Result<(), Error> {
    let name = machine.pop_text()?;
    if machine.variables.len() >= MOST_ITEMS {
        return Err(Error::state(format!("at most {MOST_ITEMS} variables are kept")));
    }
    machine.variables.insert(name, value);
    Ok(())
}

fn get(machine: &mut Machine) -> Result<Item, Error> {
    let name = machine.pop_text()?;
    machine.variables.get(&name).cloned().ok_or_else(|| Error::Missing(format!("key not found: {name}")))
}

fn format_text(pattern: &str, items: &[Item]) -> Result<String, Error> {
    /// Longest text: formatting can double a text each time.
    const LONGEST: usize = 64 * 1024;
    let mut parts = pattern.split("%s");
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut items = items.iter();
    for part in parts {
        let item =
            items.next().ok_or_else(|| Error::argument("the pattern has more %s than the list has items"))?;
        match item {
            Item::Text(value) => text.push_str(&crate::lex::unescape(value)),
            other => text.push_str(&other.to_string()),
        }
        text.push_str(part);
        if text.len() > LONGEST {
            return Err(Error::state(format!("a formatted text has at most {LONGEST} bytes")));
        }
    }
    Ok(text)
}
