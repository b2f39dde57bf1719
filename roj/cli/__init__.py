"""The command `roj`: one module per command family, and no logic that an API user would miss."""
