//! Changes that go on when the client hangs up.

use crate::problem::Problem;

/// Carries a change through even if the client hangs up, because half a change
/// must not happen.
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.map_err(|_| Problem::internal())
}
