//! What agents say that they have, while operations are on their way to them.

use super::*;

/// An agent whose operation failed says what it has, while others are on their way to it (seed 1823 of
/// the simulation).
#[test]
fn a_total_is_of_the_time_at_which_it_was_said() {
    let mut bench = Bench::new();
    let (agent, scheduler, offer) = bench.offered("cpus:4;mem:1024;disk:100");
    let (had, made) = (bench.total(&agent), volume(10, "v", false));
    let operations = vec![reserve(&reserved("disk:10")), create(&made)];
    bench.accept(&scheduler, &[offer], operations);
    let uuids: Vec<Vec<u8>> = bench
        .applied(&agent)
        .into_iter()
        .map(|apply| apply.operation_uuid)
        .collect();
    assert_eq!(uuids.len(), 2);
    let after = bench.total(&agent);
    assert!(after.contains(&made), "{after}");
    let mut say = |known: &[Vec<u8>]| {
        let changed = link::ResourcesChanged {
            total: wire(&had),
            operation_uuids: known.to_vec(),
        };
        bench.say(agent.connection, FromAgent::ResourcesChanged(changed));
        bench.total(&agent)
    };
    assert_eq!(say(&[]), after, "both are on their way");
    // It knows of the reservation, which has failed: the volume has nothing to be made of.
    assert_eq!(say(&uuids[..1]), had);
    assert_eq!(say(&uuids), had);
}
