//! Frameworks, agents and offers.

use std::time::Duration;

use crate::base::OfferId;

use super::super::framework::{check, check_change, check_own_roles};
use super::super::{agent, offer};
use super::*;

fn capability(kind: v1::framework_info::capability::Type) -> v1::framework_info::Capability {
    v1::framework_info::Capability {
        r#type: Some(kind.into()),
    }
}

fn multi_role(roles: &[&str]) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "alice".to_owned(),
        name: "test".to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        capabilities: vec![capability(v1::framework_info::capability::Type::MultiRole)],
        ..Default::default()
    }
}

fn refused(info: &v1::FrameworkInfo, suppressed: &[&str]) -> String {
    let suppressed: Vec<String> = suppressed.iter().map(|role| (*role).to_owned()).collect();
    check(info, &suppressed, None).unwrap_err().to_string()
}

#[test]
#[expect(
    deprecated,
    reason = "the field `role` is what single-role frameworks set"
)]
fn roles_come_in_the_field_of_the_capability() {
    let old = v1::FrameworkInfo::default();
    let roles = check(&old, &[], None).unwrap().roles;
    assert_eq!(roles, BTreeSet::from([Role::DEFAULT]));
    let many = check(&multi_role(&["a", "b/c"]), &["a".to_owned()], None).unwrap();
    assert_eq!(many.roles.len(), 2);
    assert_eq!(many.suppressed_roles.len(), 1);
    assert!(check(&multi_role(&[]), &[], None).unwrap().roles.is_empty());

    let listed = v1::FrameworkInfo {
        roles: vec!["a".to_owned()],
        ..Default::default()
    };
    assert!(refused(&listed, &[]).starts_with("framework_info.roles: must not be set without"));
    let mut both = multi_role(&["a"]);
    both.role = Some("a".to_owned());
    assert!(refused(&both, &[]).starts_with("framework_info.role: must not be set with"));
    assert_eq!(
        refused(&multi_role(&["a", "a"]), &[]),
        "framework_info.roles: 'a' is given twice"
    );
    assert!(refused(&multi_role(&["a//b"]), &[]).starts_with("framework_info.roles: role 'a//b'"));
    assert_eq!(
        refused(&multi_role(&["a"]), &["b"]),
        "suppressed_roles: 'b' is not one of the framework's roles"
    );
    assert!(check_own_roles(&["a".to_owned()], &many.roles).is_ok());
    assert!(check_own_roles(&["c".to_owned()], &many.roles).is_err());
}

#[test]
fn framework_fields() {
    let mut info = multi_role(&["a"]);
    info.failover_timeout = Some(1.5);
    info.id = Some("f1".into());
    let valid = check(&info, &[], None).unwrap();
    assert_eq!(valid.failover_timeout, Duration::from_millis(1500));
    assert_eq!(valid.id, Some(FrameworkId::new("f1")));
    info.id = Some("".into());
    assert_eq!(check(&info, &[], None).unwrap().id, None);
    info.id = Some("a/b".into());
    assert!(refused(&info, &[]).starts_with("framework_info.id"));
    info.id = None;
    for bad in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
        info.failover_timeout = Some(bad);
        assert!(
            refused(&info, &[]).starts_with("framework_info.failover_timeout"),
            "{bad}"
        );
    }
}

#[test]
fn offer_filters_name_own_roles_and_good_amounts() {
    let filtered = |role: &str, cpus: f64| {
        let quantities = v1::offer_filters::ResourceQuantities {
            quantities: [("cpus".to_owned(), v1::value::Scalar { value: cpus })].into(),
        };
        let least = v1::offer_filters::MinAllocatableResources {
            quantities: vec![quantities],
        };
        let filters = v1::OfferFilters {
            min_allocatable_resources: Some(least),
        };
        let mut info = multi_role(&["a"]);
        info.offer_filters = [(role.to_owned(), filters)].into();
        info
    };
    let valid = check(&filtered("a", 2.0), &[], None).unwrap();
    let least = &valid.min_allocatable[&Role::parse("a").unwrap()];
    assert_eq!(least[0], bag("cpus:2").quantities());
    assert!(refused(&filtered("b", 2.0), &[]).starts_with("framework_info.offer_filters: 'b'"));
    assert!(refused(&filtered("a", -2.0), &[]).contains("-2 is negative"));
}

#[test]
fn some_properties_stay() {
    let old = multi_role(&["a"]);
    assert!(check_change(&old, &multi_role(&["b"])).is_ok());
    let mut new = old.clone();
    new.user = "bob".to_owned();
    assert_eq!(
        check_change(&old, &new).unwrap_err().to_string(),
        "framework_info.user: cannot be changed from 'alice' to 'bob'"
    );
    let mut new = old.clone();
    new.checkpoint = Some(true);
    assert!(check_change(&old, &new).is_err());
    new.checkpoint = Some(false);
    assert!(check_change(&old, &new).is_ok(), "the default, said aloud");
    new.principal = Some("p".to_owned());
    assert!(check_change(&old, &new).is_err());
}

#[test]
fn agents_bring_plain_resources() {
    let info = || v1::AgentInfo {
        hostname: "h".to_owned(),
        resources: messages("cpus:4;disk(web):10"),
        ..Default::default()
    };
    assert_eq!(
        agent::check(&info(), &[]).unwrap().total,
        bag("cpus:4;disk(web):10")
    );
    let refused = |change: fn(&mut v1::AgentInfo)| {
        let mut info = info();
        change(&mut info);
        agent::check(&info, &[]).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|a| a.hostname.clear()),
        "agent_info.hostname: must not be empty"
    );
    assert_eq!(
        refused(|a| a.port = Some(70_000)),
        "agent_info.port: 70000 is not a port number"
    );
    assert!(refused(|a| a.id = Some("..".into())).starts_with("agent_info.id"));
    assert!(
        refused(|a| a.attributes = vec![Default::default()]).starts_with("agent_info.attributes")
    );
    let allocated: fn(&mut v1::AgentInfo) = |a| {
        let role = Some("a".to_owned());
        a.resources[0].allocation_info = Some(v1::resource::AllocationInfo { role });
    };
    assert!(refused(allocated).starts_with("agent_info.resources.allocation_info"));
}

#[test]
fn offers_of_one_agent_and_role_go_together() {
    let (framework, agents) = (
        FrameworkId::new("f"),
        [AgentId::new("s1"), AgentId::new("s2")],
    );
    let roles = [Role::parse("a").unwrap(), Role::parse("b").unwrap()];
    let stranger = FrameworkId::new("g");
    let find = |id: &OfferId| {
        let (owner, agent, role) = match id.as_str() {
            "o1" | "o2" => (&framework, 0, 0),
            "o3" => (&framework, 1, 0),
            "o4" => (&framework, 0, 1),
            "o5" => (&stranger, 0, 0),
            _ => return None,
        };
        Some(offer::Facts {
            framework: owner,
            agent: &agents[agent],
            role: &roles[role],
        })
    };
    let check = |ids: &[&str]| {
        let ids: Vec<v1::OfferId> = ids.iter().map(|id| (*id).into()).collect();
        offer::check(&ids, &framework, find).map_err(|invalid| invalid.to_string())
    };
    let valid = check(&["o1", "o2"]).unwrap();
    assert_eq!(
        (valid.ids.len(), valid.agent.as_str(), valid.role.as_str()),
        (2, "s1", "a")
    );
    let cases: [(&[&str], &str); 7] = [
        (&[], "offer_ids: must not be empty"),
        (&["o1", "o1"], "offer_ids: 'o1' is given twice"),
        (&["o9"], "offer_ids: offer 'o9' is no longer valid"),
        (&["o5"], "offer_ids: offer 'o5' is no longer valid"),
        (&["a/b"], "offer_ids: offer 'a/b' is no longer valid"),
        (
            &["o1", "o3"],
            "offer_ids: offer 'o3' is for another agent than the first one",
        ),
        (
            &["o1", "o4"],
            "offer_ids: offer 'o4' is for another role than the first one",
        ),
    ];
    for (ids, message) in cases {
        assert_eq!(check(ids).unwrap_err(), message);
    }
}

#[test]
fn refusals_last_as_said() {
    let refusal = |seconds| {
        offer::refusal(Some(&v1::Filters {
            refuse_seconds: seconds,
        }))
    };
    assert_eq!(offer::refusal(None), Some(Duration::from_secs(5)));
    assert_eq!(refusal(None), Some(Duration::from_secs(5)));
    assert_eq!(refusal(Some(-1.0)), Some(Duration::from_secs(5)));
    assert_eq!(refusal(Some(f64::NAN)), Some(Duration::from_secs(5)));
    assert_eq!(refusal(Some(0.0)), None);
    assert_eq!(refusal(Some(0.25)), Some(Duration::from_millis(250)));
    let year = Some(Duration::from_secs(365 * 24 * 3600));
    assert_eq!(refusal(Some(1e300)), year);
    assert_eq!(refusal(Some(f64::INFINITY)), year);
}
