//! The task that owns the registry: takes operations, applies them in order, stores once per batch.

use tokio::sync::mpsc;

use super::{Storage, StorageError};
use crate::registry::{Mutated, Operation, Registry, RegistryRefused};

/// Operations stored at once.
const BATCH_MAX: usize = 1024;

/// Why a registrar cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// The store failed at start.
    #[error("the registry cannot be loaded")]
    Load(#[source] StorageError),
    /// The store failed under way; what was not answered may or may not be durable.
    #[error("the registry cannot be stored")]
    Store(#[source] StorageError),
}

/// What became of one operation.
#[derive(Debug)]
pub struct Answer<T> {
    /// What the caller gave with the operation.
    pub token: T,
    /// Durable (or without effect), or refused.
    pub result: Result<(), RegistryRefused>,
}

/// Takes operations. The queue has no bound of its own: a master has at most one operation under
/// way for each agent and each link, and both are bounded.
#[derive(Debug)]
pub struct Registrar<T> {
    operations: mpsc::UnboundedSender<(T, Operation)>,
}

impl<T> Registrar<T> {
    /// Hands an operation over; its answer comes through the receiver of [`recover`]. After the
    /// store has failed there are no answers any more.
    pub fn submit(&self, token: T, operation: Operation) {
        // A closed queue means that the store failed, which the answers' end tells.
        let _ = self.operations.send((token, operation));
    }
}

/// What [`recover`] gives: the registry as it was, the way in, the way out, and the running task.
#[derive(Debug)]
pub struct Recovered<T> {
    /// What the store held.
    pub registry: Registry,
    /// Takes operations.
    pub registrar: Registrar<T>,
    /// Answers, in the order of their operations; ends when the store fails.
    pub answers: mpsc::UnboundedReceiver<Answer<T>>,
    /// Ends without error when the `Registrar` is dropped and all is stored.
    pub task: tokio::task::JoinHandle<Result<(), RegistrarError>>,
}

/// Loads the registry and starts the task that keeps it.
pub async fn recover<T: Send + 'static>(
    mut storage: impl Storage,
) -> Result<Recovered<T>, RegistrarError> {
    let registry = storage.load().await.map_err(RegistrarError::Load)?;
    let (operations, incoming) = mpsc::unbounded_channel();
    let (outgoing, answers) = mpsc::unbounded_channel();
    let task = tokio::spawn(keep(storage, registry.clone(), incoming, outgoing));
    Ok(Recovered {
        registry,
        registrar: Registrar { operations },
        answers,
        task,
    })
}

async fn keep<T>(
    mut storage: impl Storage,
    mut registry: Registry,
    mut incoming: mpsc::UnboundedReceiver<(T, Operation)>,
    outgoing: mpsc::UnboundedSender<Answer<T>>,
) -> Result<(), RegistrarError> {
    let mut batch = Vec::new();
    while incoming.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut applied = Vec::new();
        let mut answers = Vec::with_capacity(batch.len());
        for (token, operation) in batch.drain(..) {
            let bytes_max = storage.record_bytes_max();
            // Most stores take everything, and a copy makes the next change dearer.
            let before = (bytes_max < usize::MAX).then(|| registry.clone());
            let mut outcome = operation.apply(&mut registry);
            if let (Ok(_), Some(before)) = (&outcome, before)
                && let Err(refused) = fits(&operation, &registry, bytes_max)
            {
                registry = before;
                outcome = Err(refused);
            }
            if outcome == Ok(Mutated::Yes) {
                applied.push(operation);
            }
            answers.push(Answer {
                token,
                result: outcome.map(|_| ()),
            });
        }
        if !applied.is_empty() {
            storage
                .store(&applied, &registry)
                .await
                .map_err(RegistrarError::Store)?;
        }
        for answer in answers {
            // Nobody listens any more when the master has ended; the registry is stored all the same.
            let _ = outgoing.send(answer);
        }
    }
    Ok(())
}

/// Whether the records that an operation has changed fit where they are kept.
fn fits(
    operation: &Operation,
    registry: &Registry,
    bytes_max: usize,
) -> Result<(), RegistryRefused> {
    for subject in operation.subjects() {
        let bytes = registry.record(&subject).map_or(0, |record| record.len());
        if bytes > bytes_max {
            return Err(RegistryRefused::TooLarge {
                subject,
                bytes,
                bytes_max,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::AgentId;
    use crate::proto::v1;
    use crate::registrar::MemoryStorage;

    fn admit(number: u32) -> Operation {
        Operation::AdmitAgent {
            agent_id: AgentId::new(format!("m-S{number}")),
            info: Arc::new(v1::AgentInfo::default()),
        }
    }

    #[tokio::test]
    async fn answers_come_in_order_and_refusals_by_name() {
        let mut recovered = recover::<u32>(MemoryStorage::default()).await.unwrap();
        for (token, number) in [(1, 0), (2, 1), (3, 0)] {
            recovered.registrar.submit(token, admit(number));
        }
        for token in [1, 2] {
            let answer = recovered.answers.recv().await.unwrap();
            assert_eq!((answer.token, answer.result), (token, Ok(())));
        }
        let refused = recovered.answers.recv().await.unwrap();
        assert_eq!(
            refused.result,
            Err(RegistryRefused::AlreadyAdmitted(AgentId::new("m-S0")))
        );
        drop(recovered.registrar);
        recovered.task.await.unwrap().unwrap();
    }

    /// A store for small records, that fails when it is given a large one.
    struct Narrow;

    impl Storage for Narrow {
        fn record_bytes_max(&self) -> usize {
            100
        }

        async fn load(&mut self) -> Result<Registry, StorageError> {
            Ok(Registry::default())
        }

        async fn store(
            &mut self,
            _: &[Operation],
            registry: &Registry,
        ) -> Result<(), StorageError> {
            let large = |subject| registry.record(&subject).unwrap().len() > 100;
            if registry.subjects().any(large) {
                return Err(StorageError::Fenced);
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_record_too_large_costs_only_its_own_operation() {
        let mut recovered = recover::<u32>(Narrow).await.unwrap();
        let large = Operation::AdmitAgent {
            agent_id: AgentId::new("m-S1"),
            info: Arc::new(v1::AgentInfo {
                hostname: "x".repeat(200),
                ..v1::AgentInfo::default()
            }),
        };
        recovered.registrar.submit(0, admit(0));
        recovered.registrar.submit(1, large);
        // Its id is free: what was refused has left no trace.
        recovered.registrar.submit(2, admit(1));
        let mut results = Vec::new();
        for _ in 0..3 {
            results.push(recovered.answers.recv().await.unwrap().result);
        }
        assert_eq!((&results[0], &results[2]), (&Ok(()), &Ok(())));
        let refused = results[1].as_ref().unwrap_err().to_string();
        assert!(refused.contains("agent/m-S1 would have 2"), "{refused}");
        drop(recovered.registrar);
        recovered.task.await.unwrap().unwrap();
    }

    /// A store that refuses to write.
    struct Broken;

    impl Storage for Broken {
        async fn load(&mut self) -> Result<Registry, StorageError> {
            Ok(Registry::default())
        }

        async fn store(&mut self, _: &[Operation], _: &Registry) -> Result<(), StorageError> {
            Err(StorageError::Fenced)
        }
    }

    #[tokio::test]
    async fn a_failed_store_answers_nothing() {
        let mut recovered = recover::<u32>(Broken).await.unwrap();
        recovered.registrar.submit(1, admit(0));
        assert!(recovered.answers.recv().await.is_none());
        assert!(matches!(
            recovered.task.await.unwrap(),
            Err(RegistrarError::Store(StorageError::Fenced))
        ));
    }
}
