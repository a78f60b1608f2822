//! Why a call of a framework failed.

/// The ways in which a call fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SdkError {
    /// There is no subscription at present; the driver is working on it.
    #[error("not subscribed to a master at present")]
    NotSubscribed,
    /// The master refused the call or could not be reached.
    #[error("the master answered {code:?}: {message}")]
    Refused {
        /// The gRPC status code.
        code: tonic::Code,
        /// The master's words.
        message: String,
    },
}

impl From<tonic::Status> for SdkError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused {
            code: status.code(),
            message: status.message().to_owned(),
        }
    }
}

impl SdkError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSubscribed => true,
            Self::Refused { code, .. } => is_retryable(*code),
        }
    }
}

/// True for statuses that say nothing about the request itself.
pub(super) fn is_retryable(code: tonic::Code) -> bool {
    use tonic::Code;
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => false,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
    }
}
