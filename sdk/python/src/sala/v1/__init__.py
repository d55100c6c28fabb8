"""The generated messages and stubs of the whole API. docs/api.md of Sala describes it."""
