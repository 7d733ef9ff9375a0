//! Changes that whoever asked for them does not stop.

use crate::problem::Problem;

/// Makes a change to its end, also when whoever asked for it hangs up: half a
/// change is none.
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.map_err(|_| Problem::internal())
}
