//! A suite as one page of HTML that needs nothing else: no other file, no script, no network.
//!
//! Its policy (`Content-Security-Policy`) forbids them, so that a mistake here could not change that.
//! Everything that comes from data is text: `text::Escaped` is the only way into the page.

mod args;
mod axis;
mod bounds;
mod comparisons;
mod figures;
mod levels;
mod plot;
mod scenario;
mod series;
mod table;
mod text;

pub use args::Report;

use crate::suite::result::SuiteResult;
use text::Escaped;

const STYLE: &str = include_str!("report/style.css");

/// A part of the page: its anchor, its title, its content.
type Section = (&'static str, &'static str, String);

/// The report of a suite, as a page of HTML.
pub fn render(suite: &SuiteResult) -> String {
    let title = format!("micronode {}: performance", suite.node.version);
    let title = Escaped(&title);
    let sections = sections(suite);
    let links = sections
        .iter()
        .map(|(anchor, title, _)| format!("<li><a href=\"#{anchor}\">{title}</a></li>"));
    let links = links.collect::<String>();
    let bodies = sections.iter().map(|(anchor, title, body)| {
        format!(
            "<section aria-labelledby=\"{anchor}\"><h2 id=\"{anchor}\">{title}</h2>\n{body}</section>\n"
        )
    });
    let bodies = bodies.collect::<String>();
    let (head, summary) = (levels::head(suite), levels::summary(&suite.slo));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<header><h1>{title}</h1>\n{head}{summary}</header>\n\
         <nav aria-label=\"Sections\"><ul>{links}</ul></nav>\n<main>\n{bodies}</main>\n\
         <footer>Figures of one machine in one run. Ratios and processor time per request travel; \
         absolute times do not.</footer>\n</body>\n</html>\n"
    )
}

/// Two tables beside each other, where there is room.
fn side_by_side(left: Option<String>, right: Option<String>) -> String {
    match left.is_some() || right.is_some() {
        true => {
            let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
            format!("<div class=\"tables\">{left}<div>{right}</div></div>\n")
        }
        false => String::new(),
    }
}

/// What there is to tell, in the order in which it is read.
fn sections(suite: &SuiteResult) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut add = |anchor, title, body: String| {
        if !body.trim().is_empty() {
            sections.push((anchor, title, body));
        }
    };
    add("levels", "Service levels", levels::table(&suite.slo));
    if !suite.scenarios.is_empty() {
        add(
            "scenarios",
            "Scenarios",
            scenario::overview(&suite.scenarios),
        );
    }
    if let Some(sweep) = &suite.sweep {
        add("knee", "The knee", bounds::sweep(sweep));
    }
    let cap = suite.beyond_cap.as_ref().map(bounds::beyond_cap);
    let cpu = suite.beyond_cpu.as_ref().map(bounds::beyond_cpu);
    add("beyond", "Beyond the knee", side_by_side(cap, cpu));
    add("edge", "Edge", bounds::edge(&suite.edge));
    let start = suite.cold_start.as_ref().map(bounds::cold_start);
    let memory =
        (!suite.memory.is_empty()).then(|| suite.memory.iter().map(bounds::memory).collect());
    add(
        "start-and-memory",
        "Start and memory",
        side_by_side(start, memory),
    );
    add("limits", "Hard limits", bounds::limits(&suite.limits));
    if let Some(peers) = &suite.peers {
        let caption = "Medians of interleaved rounds; ratios are of this node over the other";
        add(
            "peers",
            "Beside other programs",
            comparisons::table(caption, peers),
        );
    }
    if let Some(found) = &suite.cross_check {
        let caption =
            "The same load by this tool and by another; ratios are of this one over the other";
        add(
            "cross-check",
            "Cross-check",
            comparisons::table(caption, found),
        );
    }
    add("skipped", "Not run", levels::skipped(suite));
    let each = suite.scenarios.iter().enumerate();
    let details = each
        .map(|(index, result)| scenario::section(index, result))
        .collect();
    add("details", "Each scenario", details);
    sections
}
