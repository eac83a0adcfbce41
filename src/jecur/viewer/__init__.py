"""A finished run in the browser: patients, slides and what the model saw on them."""
