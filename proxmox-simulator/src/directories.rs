//! The directories of the API tree, such as `/cluster` and `/nodes/{node}`: each answers with the names in it, whether
//! or not these are simulated. The names come from the schema.

use serde_json::{Value, json};

use crate::call::Call;
use crate::failure::{Outcome, Reply};

/// GET of any directory.
pub(crate) fn index(call: &mut Call<'_>) -> Outcome {
    let Some(directory) = call.cluster.schema().directory(call.template) else { return Ok(Reply::null()) };
    let entries: Vec<Value> = directory.children.iter().map(|name| json!({ &directory.key: name })).collect();
    Ok(Reply::data(entries))
}
