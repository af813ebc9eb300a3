//! Values that are lists, item by item. In one line of text, as variables have it, items have `,`
//! between them, and the fields of one that is a table `:`.

use super::problem::Reason;

/// What is wrong with the items of a list, by their index.
pub(super) type ItemProblems = Vec<(usize, Reason)>;

/// All of the items, none of which clashes with an earlier one.
pub(super) fn parse_all<T>(
    items: &[&str],
    parse: impl Fn(&str) -> Result<T, Reason>,
    clash: impl Fn(&T, &T) -> Option<Reason>,
) -> Result<Vec<T>, ItemProblems> {
    let (mut all, mut problems) = (Vec::<T>::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let parsed = parse(item).and_then(|parsed| {
            match all.iter().find_map(|earlier| clash(earlier, &parsed)) {
                Some(reason) => Err(reason),
                None => Ok(parsed),
            }
        });
        match parsed {
            Ok(parsed) => all.push(parsed),
            Err(reason) => problems.push((index, reason)),
        }
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(problems)
    }
}

/// The first item over the cap is at fault.
pub(super) fn check_count(items: &[&str], most: usize) -> Result<(), ItemProblems> {
    if items.len() <= most {
        return Ok(());
    }
    let reason = Reason::TooLarge {
        given: format!("a list of {}", items.len()),
        most: most.to_string(),
    };
    Err(vec![(most, reason)])
}

/// The items of a list in one text.
pub(super) fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}
