"""``resources`` and ``container`` of a job as JSON: each field's reader and schema, and the form in which answers show them."""
