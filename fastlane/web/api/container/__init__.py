"""``resources`` and ``container`` of a job as JSON: each field's reader beside its schema, and the form in which answers show them."""
