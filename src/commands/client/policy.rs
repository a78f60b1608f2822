//! `mesosd weights` and `mesosd quota`: what roles may have.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::table::{Cell, Table, decimal};
use crate::proto::v1;
use crate::proto::v1::master::{Call, call};
use crate::proto::v1::quota::QuotaConfig;

/// What to do with weights.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct WeightsArgs {
    #[command(subcommand)]
    change: Option<WeightsChange>,
}

/// A change of weights.
#[derive(Subcommand, Clone, Debug)]
enum WeightsChange {
    /// Let roles weigh more or less.
    Set {
        /// Roles with their weights, like `ads=2`.
        #[arg(required = true, value_name = "ROLE=WEIGHT", value_parser = weight)]
        weights: Vec<(String, f64)>,
    },
}

/// What to do with quota.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct QuotaArgs {
    #[command(subcommand)]
    change: Option<QuotaChange>,
}

/// A change of quota.
#[derive(Subcommand, Clone, Debug)]
enum QuotaChange {
    /// Give a role quota; replaces what it had.
    Set {
        /// The role.
        role: String,
        /// What it is sure to get, like `cpus:4;mem:1024`.
        #[arg(long, value_name = "QUANTITIES", value_parser = quantities, default_value = "")]
        guarantee: Amounts,
        /// What it may not exceed, like `cpus:8`.
        #[arg(long, value_name = "QUANTITIES", value_parser = quantities, default_value = "")]
        limit: Amounts,
        /// Also when the cluster has too little, or the role has too much already.
        #[arg(long)]
        force: bool,
    },
    /// Take a role's quota away.
    Remove {
        /// The role.
        role: String,
    },
}

/// Amounts by resource name.
#[derive(Clone, Debug, Default)]
struct Amounts(BTreeMap<String, v1::value::Scalar>);

fn weight(text: &str) -> Result<(String, f64), String> {
    let (role, weight) = text
        .split_once('=')
        .ok_or_else(|| "write ROLE=WEIGHT, like ads=2".to_owned())?;
    let weight = weight
        .parse()
        .map_err(|_| format!("'{weight}' is not a number"))?;
    Ok((role.to_owned(), weight))
}

fn quantities(text: &str) -> Result<Amounts, String> {
    let mut amounts = BTreeMap::new();
    for item in text.split(';').filter(|item| !item.trim().is_empty()) {
        let (name, amount) = item
            .split_once(':')
            .ok_or_else(|| format!("'{item}': write NAME:AMOUNT, like cpus:4"))?;
        let value = amount
            .trim()
            .parse()
            .map_err(|_| format!("'{item}': '{amount}' is not a number"))?;
        amounts.insert(name.trim().to_owned(), v1::value::Scalar { value });
    }
    Ok(Amounts(amounts))
}

/// Lists or sets weights.
pub(super) async fn weights(
    session: &mut Session,
    output: &mut Output,
    arguments: &WeightsArgs,
) -> Result<(), ClientError> {
    if let Some(WeightsChange::Set { weights }) = &arguments.change {
        let weight_infos = weights.iter().map(|(role, weight)| v1::WeightInfo {
            role: Some(role.clone()),
            weight: *weight,
        });
        let order = Call {
            r#type: Some(call::Type::UpdateWeights.into()),
            update_weights: Some(call::UpdateWeights {
                weight_infos: weight_infos.collect(),
            }),
            ..Call::default()
        };
        session.call(order).await?;
    }
    let answer = session.ask(call::Type::GetWeights).await?;
    let weights = answer.get_weights.unwrap_or_default().weight_infos;
    match output.format() {
        Format::Json => {
            let shown = weights.iter();
            let shown = shown.map(|info| json!({"role": info.role(), "weight": info.weight}));
            output.json(&shown.collect())
        }
        Format::Text => {
            let mut table = Table::new(&["ROLE", "WEIGHT"]);
            for info in &weights {
                table.row(vec![
                    Cell::text(info.role()),
                    Cell::number(decimal(info.weight)),
                ]);
            }
            output.table(&table)
        }
    }
}

/// Lists, sets or removes quota.
pub(super) async fn quota(
    session: &mut Session,
    output: &mut Output,
    arguments: &QuotaArgs,
) -> Result<(), ClientError> {
    let config = match &arguments.change {
        None => None,
        Some(QuotaChange::Set {
            role,
            guarantee,
            limit,
            force,
        }) => Some((role, guarantee.0.clone(), limit.0.clone(), *force)),
        Some(QuotaChange::Remove { role }) => Some((role, BTreeMap::new(), BTreeMap::new(), false)),
    };
    if let Some((role, guarantees, limits, force)) = config {
        let config = QuotaConfig {
            role: role.clone(),
            guarantees,
            limits,
        };
        let order = Call {
            r#type: Some(call::Type::UpdateQuota.into()),
            update_quota: Some(call::UpdateQuota {
                force: Some(force),
                quota_configs: vec![config],
            }),
            ..Call::default()
        };
        session.call(order).await?;
    }
    let answer = session.ask(call::Type::GetQuota).await?;
    let quotas = answer.get_quota.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_quota",
    })?;
    let configs = quotas.status.configs;
    match output.format() {
        Format::Json => output.json(&configs.iter().map(shown).collect()),
        Format::Text => {
            let mut table = Table::new(&["ROLE", "GUARANTEE", "LIMIT"]);
            for config in &configs {
                table.row(vec![
                    Cell::text(&config.role),
                    Cell::text(text(&config.guarantees)),
                    Cell::text(text(&config.limits)),
                ]);
            }
            output.table(&table)
        }
    }
}

fn shown(config: &QuotaConfig) -> Value {
    let amounts = |amounts: &BTreeMap<String, v1::value::Scalar>| -> Value {
        let amounts = amounts.iter();
        amounts
            .map(|(name, amount)| (name.clone(), json!(amount.value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "role": config.role,
        "guarantees": amounts(&config.guarantees),
        "limits": amounts(&config.limits),
    })
}

fn text(amounts: &BTreeMap<String, v1::value::Scalar>) -> String {
    let texts: Vec<String> = amounts
        .iter()
        .map(|(name, amount)| format!("{name}:{}", decimal(amount.value)))
        .collect();
    texts.join(";")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_weights_are_read() {
        let read = quantities("cpus:4; mem:0.5").unwrap();
        assert_eq!(text(&read.0), "cpus:4;mem:0.5");
        assert!(quantities("").unwrap().0.is_empty());
        for wrong in ["cpus", "cpus:x"] {
            assert!(quantities(wrong).unwrap_err().contains(wrong));
        }
        assert_eq!(weight("a/b=2.5"), Ok(("a/b".to_owned(), 2.5)));
        assert!(weight("a").is_err() && weight("a=x").is_err());
    }
}
