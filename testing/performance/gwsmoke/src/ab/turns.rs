//! Taking turns: each build is started, loaded and ended, round by round.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cores::Cores;
use super::rounds::{Columns, Rounds, Scenario, Variant};
use crate::clock;
use crate::failure::Failure;
use crate::load;
use crate::node::Node;
use crate::progress::Progress;
use crate::result::{LoadResult, Machine, NodeBuild, SCHEMA};
use crate::spec::LoadSpec;
use crate::stats::Draws;

/// What takes turns, at what, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The base first.
    pub contenders: Vec<Contender>,
    /// What is measured of each.
    pub scenarios: Vec<LoadSpec>,
    /// How often.
    pub rounds: usize,
    /// What decides the order.
    pub seed: u64,
}

/// A build that takes turns.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Short name.
    pub name: String,
    /// The node's binary.
    pub binary: PathBuf,
    /// What it is given in its environment, beside everybody's.
    pub environment: BTreeMap<String, String>,
}

impl Contender {
    /// One with nothing in its environment.
    pub fn new(name: &str, binary: &Path) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            environment: BTreeMap::new(),
        }
    }
}

/// Takes all turns of `plan`. Within a round and a scenario, everybody's turn comes right after
/// another's, in an order that is drawn.
///
/// # Errors
///
/// If a build does not start or does not answer: there is no round without it.
pub(super) fn take(plan: &Plan, progress: &Progress) -> Result<Rounds, Failure> {
    let (began, started_unix_s) = (clock::now(), clock::since_epoch().as_secs());
    let cores = Cores::split();
    let mut draws = Draws::new(plan.seed);
    let mut builds = vec![NodeBuild::default(); plan.contenders.len()];
    let columns = vec![Columns::default(); plan.contenders.len()];
    let mut scenarios: Vec<Scenario> = plan
        .scenarios
        .iter()
        .map(|spec| Scenario {
            spec: spec.clone(),
            columns: columns.clone(),
        })
        .collect();
    progress.begin("ab", plan.rounds as u64);
    for round in 0..plan.rounds {
        progress.at(round as u64);
        for scenario in &mut scenarios {
            let mut order: Vec<usize> = (0..plan.contenders.len()).collect();
            draws.shuffle(&mut order);
            for index in order {
                let contender = &plan.contenders[index];
                let name = &scenario.spec.name;
                progress.say(format!("{} {name}", contender.name));
                let told = |failure: Failure| {
                    let (contender, round) = (&contender.name, round + 1);
                    Failure::wrong(format!("{contender}, round {round}, {name}: {failure}"))
                };
                let result = turn(contender, &scenario.spec, &cores).map_err(told)?;
                scenario.columns[index].push(&result).map_err(told)?;
                builds[index] = result.node;
            }
        }
    }
    let variants = plan.contenders.iter().zip(builds);
    Ok(Rounds {
        schema: SCHEMA,
        started_unix_s,
        duration_s: (clock::now() - began).as_secs_f64().round(),
        machine: Machine::here(),
        seed: plan.seed,
        variants: variants
            .map(|(contender, node)| Variant {
                name: contender.name.clone(),
                node,
                environment: contender.environment.clone(),
            })
            .collect(),
        scenarios,
    })
}

/// One turn: a node that has just been started, and a load on it.
fn turn(contender: &Contender, spec: &LoadSpec, cores: &Cores) -> Result<LoadResult, Failure> {
    cores.of_node();
    let environment = contender.environment.iter();
    let node = Node::start_in(&contender.binary, &spec.node_flags, environment);
    cores.of_load();
    let node = node?;
    let result = load::run(spec, &node, &Progress::hidden())?;
    node.stop()?;
    Ok(result)
}
