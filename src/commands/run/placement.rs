//! Which offers will do for a task, and why no agent ever will.

use crate::proto::v1;
use v1::master::response::get_agents::Agent;

use super::args::{Constraint, RunArgs};

/// Scalars are told apart by thousandths, as everywhere in Mesos.
const PRECISION: f64 = 0.0005;

/// What one task needs.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    scalars: Vec<(&'static str, f64)>,
    constraints: Vec<Constraint>,
    role: String,
}

impl Needs {
    pub(super) fn new(arguments: &RunArgs) -> Self {
        let scalars = [
            ("cpus", arguments.cpus),
            ("mem", arguments.mem),
            ("disk", arguments.disk),
        ];
        Self {
            scalars: scalars
                .into_iter()
                .filter(|(_, amount)| *amount > 0.0)
                .collect(),
            constraints: arguments.attribute_constraint.clone(),
            role: arguments.role.clone(),
        }
    }

    pub(super) fn admit(&self, attributes: &[v1::Attribute], hostname: &str) -> bool {
        self.constraints
            .iter()
            .all(|constraint| constraint.admits(attributes, hostname))
    }

    /// Takes what one task needs out of `available`; `None` leaves it as it was.
    pub(super) fn take(&self, available: &mut Vec<v1::Resource>) -> Option<Vec<v1::Resource>> {
        let mut rest = available.clone();
        let mut taken = Vec::new();
        for (name, amount) in &self.scalars {
            let mut missing = *amount;
            for resource in rest.iter_mut().filter(|r| usable(r, name)) {
                let Some(scalar) = &mut resource.scalar else {
                    continue;
                };
                let part = missing.min(scalar.value);
                if part < PRECISION {
                    continue;
                }
                scalar.value -= part;
                missing -= part;
                let mut own = resource.clone();
                own.scalar = Some(v1::value::Scalar { value: part });
                taken.push(own);
            }
            if missing >= PRECISION {
                return None;
            }
        }
        *available = rest;
        Some(taken)
    }

    /// Why no agent can ever run such a task; `None` if one could, or if there is none yet.
    pub(super) fn refusal(&self, agents: &[Agent]) -> Option<String> {
        if agents.is_empty() {
            return None;
        }
        let admitted: Vec<&Agent> = agents
            .iter()
            .filter(|agent| {
                let info = &agent.agent_info;
                self.admit(&info.attributes, &info.hostname)
            })
            .collect();
        if admitted.is_empty() {
            let constraints: Vec<_> = self.constraints.iter().map(ToString::to_string).collect();
            return Some(format!(
                "none of {} agents satisfies {}",
                agents.len(),
                constraints.join(" and ")
            ));
        }
        let fits = |agent: &&Agent| {
            self.scalars
                .iter()
                .all(|(name, amount)| self.total(agent, name) + PRECISION > *amount)
        };
        if admitted.iter().any(fits) {
            return None;
        }
        // The resource that is short everywhere, if there is one, says most.
        let mut shortages: Vec<String> = self
            .scalars
            .iter()
            .filter_map(|(name, amount)| {
                let most = admitted
                    .iter()
                    .map(|agent| self.total(agent, name))
                    .fold(0.0, f64::max);
                (most + PRECISION <= *amount)
                    .then(|| format!("it needs {amount} {name} and the largest agent has {most}"))
            })
            .collect();
        if shortages.is_empty() {
            let wanted: Vec<_> = self
                .scalars
                .iter()
                .map(|(name, amount)| format!("{amount} {name}"))
                .collect();
            shortages.push(format!(
                "no single one of {} agents has {}",
                admitted.len(),
                wanted.join(" and ")
            ));
        }
        Some(shortages.join("; "))
    }

    /// All that an agent has of a scalar for this role.
    fn total(&self, agent: &Agent, name: &str) -> f64 {
        agent
            .total_resources
            .iter()
            .filter(|resource| usable(resource, name))
            .filter(|resource| {
                let owner = owner(resource);
                owner == "*" || owner == self.role
            })
            .filter_map(|resource| resource.scalar.as_ref())
            .map(|scalar| scalar.value)
            .sum()
    }
}

/// Plain resources only: nothing revocable, no persistent or special disks.
fn usable(resource: &v1::Resource, name: &str) -> bool {
    resource.name == name && resource.revocable.is_none() && resource.disk.is_none()
}

/// The role that a resource is reserved for, `*` for none.
fn owner(resource: &v1::Resource) -> &str {
    match resource.reservations.last() {
        Some(reservation) => reservation.role(),
        None => resource.role(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::frameworks::sdk::scalar;

    fn needs(cpus: f64, mem: f64, constraints: &[&str]) -> Needs {
        Needs {
            scalars: vec![("cpus", cpus), ("mem", mem)],
            constraints: constraints.iter().map(|c| c.parse().unwrap()).collect(),
            role: "*".to_owned(),
        }
    }

    fn agent(cpus: f64, mem: f64) -> Agent {
        Agent {
            total_resources: vec![scalar("cpus", cpus), scalar("mem", mem)],
            ..Default::default()
        }
    }

    #[test]
    fn tasks_are_taken_out_of_an_offer_until_it_is_empty() {
        let mut offer = vec![
            scalar("cpus", 1.0),
            scalar("cpus", 1.5),
            scalar("mem", 100.0),
        ];
        let needs = needs(1.2, 40.0, &[]);
        let first = needs.take(&mut offer).unwrap();
        let cpus: Vec<_> = first
            .iter()
            .filter(|r| r.name == "cpus")
            .map(|r| r.scalar.as_ref().unwrap().value)
            .collect();
        assert_eq!(cpus.len(), 2);
        assert!((cpus.iter().sum::<f64>() - 1.2).abs() < 1e-9);
        assert!(needs.take(&mut offer).is_some());
        let before = offer.clone();
        assert!(needs.take(&mut offer).is_none());
        assert_eq!(offer, before);
    }

    #[test]
    fn refusal_names_what_is_short() {
        let agents = [agent(2.0, 1000.0), agent(4.0, 100.0)];
        assert_eq!(needs(2.0, 1000.0, &[]).refusal(&agents), None);
        assert_eq!(needs(2.0, 1000.0, &[]).refusal(&[]), None);
        assert_eq!(
            needs(8.0, 10.0, &[]).refusal(&agents).unwrap(),
            "it needs 8 cpus and the largest agent has 4"
        );
        assert_eq!(
            needs(4.0, 1000.0, &[]).refusal(&agents).unwrap(),
            "no single one of 2 agents has 4 cpus and 1000 mem"
        );
        assert_eq!(
            needs(1.0, 1.0, &["rack=r1"]).refusal(&agents).unwrap(),
            "none of 2 agents satisfies rack=r1"
        );
    }
}
