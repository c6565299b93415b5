//! `vestibule drill`: attacks a running instance like a client that cannot read the mails, and compares what it was
//! granted with what the instance's policy (`GET /v1/policy`) allows.

pub mod arguments;
mod client;
mod grant_counts;
mod policy;
pub mod rank_test;
mod report;
mod response;
mod response_diff;
mod rng;
mod scenarios;
mod sources;
mod target;

use anyhow::{Context, Result, bail};

use arguments::Arguments;
use client::AttackClient;
use policy::Policy;
use report::{Report, Row};
use scenarios::Environment;
pub use scenarios::Scenario;
pub use target::Target;

/// Runs the scenarios, prints the report, and returns whether the instance kept its policy.
///
/// Fails if the instance cannot be reached or if no scenario could be tried.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let client = AttackClient::new(&arguments).await?;
    let policy = Policy::parse(&client.policy().await?)?;
    report::progress(&format!("{} from {}", arguments.target, client.describe_sources()));
    let json = arguments.json;
    let environment = Environment { client, policy, arguments };
    let mut rows = vec![];
    for &scenario in &environment.arguments.scenarios {
        rows.extend(run_scenario(scenario, &environment).await?);
    }
    rows.extend(environment.client.total_rows(&environment.policy));
    if rows.iter().all(Row::is_not_tried) {
        bail!("nothing could be tried: {}", rows.first().map_or("no scenario was chosen", |row| &row.note));
    }
    let report = Report {
        target: environment.arguments.target.to_string(),
        rows,
        yearly_bound: environment.policy.yearly_bound(),
    };
    report::print(&if json { report.json() } else { report.table() });
    Ok(report.is_policy_kept())
}

async fn run_scenario(scenario: Scenario, environment: &Environment) -> Result<Vec<Row>> {
    if environment.client.is_out_of_time() {
        return Ok(vec![Row::not_tried(scenario.name(), "the time limit (--minutes) was reached")]);
    }
    report::progress(&format!("{}: {}", scenario.name(), scenario.description()));
    let rows = scenario.run(environment).await;
    rows.with_context(|| format!("the target stopped responding during {}", scenario.name()))
}
